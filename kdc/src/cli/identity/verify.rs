//! `keycell identity verify`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::{IdentityName, Zone};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::warn_of_others;
use super::super::output::Output;
use super::super::passphrase::PassphraseFile;
use super::super::table::fields;
use crate::audit::hex;
use crate::identities::Exported;

/// On any machine, without a KDC: nothing is changed. Compare the name and the signer with `keycell identity show` of the
/// cell. Do it where nobody else gets in, for the file and its passphrase together are the identity.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The file that `export-secondary` made
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
}

#[derive(Serialize)]
struct Verified {
    zone: Zone,
    identity: IdentityName,
    signer: String,
    signing_key: String,
}

impl Verify {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let exported = Exported::read(&self.file, &self.passphrase.known(&self.file.display().to_string())?)?;
        warn_of_others(&self.file, 0o077, "the identity's file");
        let public = exported.identity().public()?;
        let verified = Verified {
            zone: exported.zone().clone(),
            identity: public.name,
            signer: hex::encode(public.signing_key.id().as_bytes()),
            signing_key: hex::encode(public.signing_key.as_bytes()),
        };
        Ok(output.print(&verified, |out| {
            fields(
                out,
                [
                    ("zone", verified.zone.to_string()),
                    ("identity", verified.identity.to_string()),
                    ("signer", verified.signer.clone()),
                    ("signing key", verified.signing_key.clone()),
                ],
            )
        })?)
    }
}
