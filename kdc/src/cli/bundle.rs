//! `keycell bundle`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::{Bundle, KdcIdentity, TrustedSigners};
use serde_json::json;

use super::admin::Admin;
use super::output::Output;
use super::{Global, Outcome};
use crate::audit::hex;
use crate::files;

/// It is public: install it with the software of hosts, and give it to whoever checks evidence. It says where the KDCs are,
/// what their certificates go back to, and by which keys they sign and are written to.
#[derive(Debug, Args)]
pub(super) struct Write {
    /// The file to write, in the place of one that is there; without it, the bundle is printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Print only the fingerprint of its identities, for another zone's administrator to compare
    #[arg(long, conflicts_with = "out")]
    fingerprint: bool,
}

impl Write {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let answer: serde_json::Value = Admin::new(global)?.get("/v1/bundle").read().await?;
        // Read as strictly as those will who get it.
        let bundle = Bundle::from_json(answer.to_string().as_bytes())?;
        let fingerprint = bundle.fingerprint().to_string();
        if self.fingerprint {
            let told = json!({ "zone": bundle.zone, "fingerprint": fingerprint });
            return Ok(output.print(&told, |out| writeln!(out, "{fingerprint}"))?);
        }
        let Some(file) = self.out else {
            return Ok(output.print(&bundle, |out| out.write_all(&bundle.to_json()))?);
        };
        files::replace(&file, &bundle.to_json(), 0o644)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        // Whoever gets it compares them with what `keycell identity show` has.
        let keys = bundle.identities.iter().map(|KdcIdentity { name, signing_key, .. }| {
            let signer = hex::encode(signing_key.id().as_bytes());
            (name.to_string(), signer, hex::encode(signing_key.as_bytes()))
        });
        let keys: Vec<_> = keys.collect();
        let named = keys
            .iter()
            .map(|(name, signer, key)| json!({ "name": name, "signer": signer, "signing_key": key }));
        let named: Vec<_> = named.collect();
        let told =
            json!({ "zone": bundle.zone, "file": file, "identities": named, "fingerprint": fingerprint });
        Ok(output.print(&told, |out| {
            writeln!(out, "{} is the bundle of {}.", file.display(), bundle.zone.as_str())?;
            let line = |(name, signer, key): &(String, String, String)| {
                writeln!(out, "{name} signs as {signer} with {key}.")
            };
            keys.iter().try_for_each(line)?;
            writeln!(out, "Its fingerprint is {fingerprint}.")
        })?)
    }
}

/// Whose vouchers hold over the borders of the zone, for a key file. A party also learns it with its first voucher, so that a
/// KDC that cannot tell now stands in nobody's way.
pub(super) async fn trusted(admin: &Admin) -> TrustedSigners {
    let answer: Outcome<serde_json::Value> = admin.get("/v1/bundle").read().await;
    let bundle = answer.ok().and_then(|answer| Bundle::from_json(answer.to_string().as_bytes()).ok());
    bundle.map(|bundle| bundle.trusted_signers()).unwrap_or_default()
}
