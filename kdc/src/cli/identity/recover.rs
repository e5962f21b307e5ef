//! `keycell identity recover`

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::{IdentityName, Zone};
use serde::Serialize;

use super::super::moment::time;
use super::super::output::Output;
use super::super::passphrase::PassphraseFile;
use super::super::table::counted;
use super::super::terminal::Terminal;
use super::super::{Global, Outcome};
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::identities::Exported;
use crate::recovery::{self, FinishError, Finished, PartyKeys, Progress, Recovered};
use crate::store;
use crate::watermark::Kept;

/// On a machine of the cell, with its folder, while no KDC of the zone runs. The secondary identity becomes the primary, in
/// one transaction: the old primary is retired and its private half deleted, a new secondary is made, all administrators'
/// tokens end, the keys of all parties are erased, those of all groups begin anew, and all join tokens are revoked. Hosts
/// that enrolled themselves do so again by themselves. Where it was cut short, do it again with the same file.
#[derive(Debug, Args)]
pub(in crate::cli) struct Recover {
    /// The file that `export-secondary` made
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
    /// Leave the keys of parties and groups, and join tokens, as they are: when the primary was lost, and nobody else can have it
    #[arg(long)]
    keep_keys: bool,
    /// Recover in a database that is older than what this KDC remembers of revocations; nobody is un-revoked by it
    #[arg(long)]
    accept_rollback: bool,
    /// Do not ask before it is done
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Done {
    identity: IdentityName,
    /// None when it was done before.
    #[serde(flatten)]
    recovered: Option<Recovered>,
    #[serde(flatten)]
    finished: Finished,
}

impl Recover {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if global.profile.is_some() {
            return Err("recover works on the cell of this machine: name its configuration with --config, no --profile".into());
        }
        let config = global.config()?;
        let _alone = store::alone(&config.database).await?;
        let exported = Exported::read(&self.file, &self.passphrase.known(&self.file.display().to_string())?)?;
        let identity = exported.identity().name();
        let cell = Cell::open(&config).await?;
        let recovered = self.recover(&cell, &config, exported).await;
        cell.store.close().await;
        let recovered = recovered?;
        // With the identity that it has now.
        let cell = Cell::open(&config).await?;
        let finished = recovery::finish(&cell, &config, global.config_path(), SystemClock.now()).await;
        cell.store.close().await;
        let finished = finished.map_err(|error: FinishError| {
            let left = format!(
                "{identity} is the primary, but this is left to do: {error}. Do that, then the same command again"
            );
            // The second time nobody says so.
            let at_once = recovered.as_ref().and_then(|recovered| at_once(&cell.zone.zone, recovered));
            at_once.map_or_else(|| left.clone(), |at_once| format!("{left}. {at_once}"))
        })?;
        let done = Done { identity, recovered, finished };
        Ok(output.print(&done, |out| write(out, &cell.zone.zone, &done))?)
    }

    /// None when it was done before.
    async fn recover(&self, cell: &Cell, config: &Config, exported: Exported) -> Outcome<Option<Recovered>> {
        if let Progress::Done { since } = recovery::progress(cell, &exported).await? {
            let primary = exported.identity().name();
            tracing::info!(%primary, since = time(since), "the cell has recovered on this identity before");
            return Ok(None);
        }
        let now = SystemClock.now();
        let accepted = self.accept_rollback.then_some(Kept::Keep);
        let watermark = cell.watermark(config, accepted, now).await?;
        self.confirm(cell)?;
        let keys = if self.keep_keys { PartyKeys::Keep } else { PartyKeys::Erase };
        let recovered = recovery::recover(cell, exported, keys, watermark.last_identity(), now).await?;
        Ok(Some(recovered))
    }

    fn confirm(&self, cell: &Cell) -> Outcome {
        if self.yes {
            return Ok(());
        }
        let zone = cell.zone.zone.as_str();
        let keys = if self.keep_keys {
            ""
        } else {
            ", and with them the keys of all its parties and groups, and its join tokens"
        };
        let question = format!(
            "All administrators' tokens of {zone} end{keys}. There is no way back. Write the name of the zone to go on: "
        );
        let mut terminal = Terminal::open("say --yes if you mean it")?;
        if terminal.ask(&question)?.trim() != zone {
            return Err("that is not its name: nothing was changed".into());
        }
        Ok(())
    }
}

fn write(out: &mut dyn io::Write, zone: &Zone, done: &Done) -> io::Result<()> {
    let Done { identity, recovered, finished } = done;
    let Finished { token_file, token_expires_at } = finished;
    match recovered {
        Some(recovered) => {
            write_identities(out, recovered)?;
            write_keys(out, zone, recovered)?;
        }
        None => writeln!(
            out,
            "The cell has recovered on {identity} before: what was left to do is done. To recover once more, take the file of \
             the new secondary."
        )?,
    }
    let token_file = token_file.display();
    match token_expires_at {
        Some(at) => writeln!(
            out,
            "All administrators' tokens have ended. One for admin is in {token_file}, good until {}.",
            time(*at)
        )?,
        None => writeln!(out, "An administrator's token that is good is in {token_file}.")?,
    }
    writeln!(
        out,
        "Next: start every KDC of the zone; `keycell identity export-secondary FILE`; `keycell master-key rotate` and another \
         certificate, if the thief may have those; a backup. Do not put back a backup from before."
    )
}

fn write_identities(out: &mut dyn io::Write, recovered: &Recovered) -> io::Result<()> {
    let Recovered { retired, primary, secondary, audit_key, was_in_database, .. } = recovered;
    writeln!(out, "{primary} is the primary now. {retired} is retired: nothing that it signs counts.")?;
    if *was_in_database {
        writeln!(
            out,
            "WARNING: the private half of {primary} was in this database. Who stole that has {primary} too: then make a new zone."
        )?;
    }
    writeln!(out, "{secondary} is the new secondary. Its private half is in the database.")?;
    writeln!(out, "The audit log is signed with {audit_key}: note that down.")
}

/// What only other zones can end.
fn at_once(zone: &Zone, recovered: &Recovered) -> Option<String> {
    let asked: Vec<_> =
        recovered.erased.trusts.iter().filter_map(|id| id.strip_prefix("outgoing ")).collect();
    (!asked.is_empty()).then(|| {
        format!(
            "AT ONCE: the stolen keys of trusts are still good at the zones that this one asks. Tell the administrators of \
             {zones} to run `keycell trust disable incoming {zone}` now, then to delete that trust and offer it anew: a second \
             offer alone leaves the stolen key good.",
            zones = asked.join(", ")
        )
    })
}

fn write_keys(out: &mut dyn io::Write, zone: &Zone, recovered: &Recovered) -> io::Result<()> {
    let erased = &recovered.erased;
    if erased.approved > 0 {
        writeln!(
            out,
            "{} hosts were approved and had not come yet: they are strangers again, for you to decide on.",
            erased.approved
        )?;
    }
    if !erased.trusts.is_empty() {
        writeln!(
            out,
            "The keys of {} trusts with other zones are erased; each needs another offer, `keycell trust offer`, of the zone that \
             gives: {}.",
            erased.trusts.len(),
            erased.trusts.join(", ")
        )?;
        if let Some(at_once) = at_once(zone, recovered) {
            writeln!(out, "{at_once}")?;
        }
    }
    if erased.parties() == 0 && erased.groups == 0 && erased.join_tokens == 0 && erased.damaged.is_empty() {
        return writeln!(out, "No keys of parties or groups were changed.");
    }
    writeln!(
        out,
        "The keys of {} parties are erased, and those of {} groups begin anew.",
        erased.parties(),
        erased.groups
    )?;
    writeln!(out, "  enrolled: {}; they do so again, by themselves", erased.enrolled)?;
    let by_hand = erased.by_hand.len();
    if by_hand > 0 {
        let mut names: Vec<_> = erased.by_hand.iter().take(NAMED).map(ToString::to_string).collect();
        if by_hand > NAMED {
            names.push(format!("and {} more: keycell party list --keyless --state enabled", by_hand - NAMED));
        }
        writeln!(
            out,
            "  made by hand: {by_hand}; each needs a new key, `keycell key rotate NAME --key-file FILE`: {}",
            names.join(", ")
        )?;
    }
    if erased.disabled > 0 {
        writeln!(out, "  disabled: {}", erased.disabled)?;
    }
    if erased.join_tokens > 0 {
        let revoked = counted(erased.join_tokens as u64, "join token is revoked", "join tokens are revoked");
        writeln!(out, "{revoked}: `keycell join-token create` makes new ones.")?;
    }
    for row in &erased.damaged {
        writeln!(out, "  damaged, and serves nobody: {row}")?;
    }
    Ok(())
}

/// So many parties are named.
const NAMED: usize = 10;
