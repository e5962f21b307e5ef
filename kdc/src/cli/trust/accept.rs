//! `keycell trust accept`

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueHint};
use keycell_protocol::{ProblemType, SealedTrustOffer, UnixSeconds};

use super::super::Outcome;
use super::super::admin::{Admin, is};
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::fields;
use super::terms::{Terms, given};
use super::{TRUSTS, bundle, show};
use crate::api::{NewTrust, TrustView};

/// An offer proves nothing by itself: say by what its zone is known. Without `--fingerprint` and `--bundle`, this says what the
/// offer claims, and accepts it only if that zone is trusted already.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("known"))]
pub(in crate::cli) struct Accept {
    /// The file of the offer; `-` is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The fingerprint that the other zone's administrator told you by another way
    #[arg(long, group = "known", value_name = "HEX")]
    fingerprint: Option<String>,
    /// The other zone's bundle, from where you trust it
    #[arg(long, group = "known", value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    terms: Terms,
}

impl Accept {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let text = read(&self.file)?;
        let sealed = SealedTrustOffer::parse(&text)?;
        let fingerprint = match (self.fingerprint, &self.bundle) {
            (Some(told), _) => Some(told),
            (None, Some(file)) => Some(bundle(file)?.fingerprint().to_string()),
            (None, None) => {
                let path = format!("{TRUSTS}/outgoing/{}", sealed.claims().zone);
                match admin.get(path).read::<TrustView>().await {
                    Ok(_) => None,
                    Err(error) if is(&*error, ProblemType::NotFound) => return claimed(&sealed, output),
                    Err(error) => return Err(error),
                }
            }
        };
        let Terms { sources, destinations, lifetime, rate, mode, log_tickets, note } = self.terms;
        let new = NewTrust {
            offer: text,
            fingerprint,
            sources: given(sources),
            destinations: given(destinations),
            lifetime_seconds: lifetime.map(Some),
            rate: rate.map(Some),
            mode,
            log_tickets,
            note,
        };
        let view: TrustView = admin.post(format!("{TRUSTS}/accepted")).json(&new)?.create().await?;
        Ok(output.print(&view, |out| show::write(out, &view))?)
    }
}

/// Says what the offer claims, for whoever is to compare it.
fn claimed(sealed: &SealedTrustOffer, output: &Output) -> Outcome {
    let offer = sealed.claims();
    let fingerprint = offer.bundle.fingerprint().to_string();
    let told = serde_json::json!({
        "zone": offer.zone,
        "to": offer.to,
        "urls": offer.bundle.urls,
        "fingerprint": fingerprint,
        "expires_at": UnixSeconds::millis(offer.expires_at),
    });
    output.print(&told, |out| {
        writeln!(out, "This is what the offer claims; nobody has proved it yet:\n")?;
        fields(
            out,
            [
                ("zone", offer.zone.to_string()),
                ("to", offer.to.to_string()),
                ("urls", offer.bundle.urls.join(", ")),
                ("expires", time(UnixSeconds::millis(offer.expires_at))),
                ("fingerprint", fingerprint.clone()),
            ],
        )
    })?;
    Err(format!(
        "not accepted: ask the administrator of {zone} for the fingerprint of {zone} by another way, compare, and repeat with \
         --fingerprint, or with --bundle and the bundle of {zone} from where you trust it",
        zone = offer.zone
    )
    .into())
}

fn read(file: &Path) -> Outcome<String> {
    let mut text = String::new();
    let most = SealedTrustOffer::MAX as u64 + 1;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.map_err(|error| format!("cannot read the offer {}: {error}", file.display()))?;
    Ok(text)
}
