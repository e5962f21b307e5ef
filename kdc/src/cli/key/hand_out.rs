//! `keycell key rotate --key-file`

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_client::{AgentKey, KdcAddress};
use keycell_protocol::{Generation, LongTermKey, Name, UnixMillis};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::admin::{Admin, Failed};
use super::super::bundle::trusted;
use super::super::moment::time;
use super::super::output::Output;
use super::super::party::path;
use crate::api::{CreatedParty, NewPartyKey};
use crate::files;

#[derive(Debug, Serialize)]
struct HandedOut {
    name: Name,
    generation: Generation,
    key_file: PathBuf,
    /// Until when the key before is accepted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_until: Option<UnixMillis>,
}

/// Makes a key and writes it to `file`.
pub(super) async fn hand_out(
    name: &Name,
    file: PathBuf,
    erase_old: bool,
    admin: &Admin,
    output: &Output,
) -> Outcome {
    if file.exists() {
        return Err(format!("{} exists already; choose another", file.display()).into());
    }
    files::can_make(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    // The secret is made here: should the answer be lost, asking again with the same one is harmless.
    let mut secret = Zeroizing::new([0; LongTermKey::SIZE]);
    rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut *secret);
    let new = NewPartyKey { key: Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret))), erase_old };
    let call = admin.post(format!("{}/keys", path(name))).json(&new)?;
    let made: CreatedParty = call.create().await.map_err(|error| match error.downcast_ref::<Failed>() {
        Some(failed) if failed.uncertain => {
            format!("{error}; {name} may or may not have a new key, which is lost: run this again").into()
        }
        _ => error,
    })?;
    let mut key = AgentKey::new(
        name.clone(),
        LongTermKey::new(made.generation, made.epoch, *secret),
        made.ratchet_period,
        KdcAddress { urls: made.urls, tls_roots: admin.roots().to_owned() },
    )
    .with_signers(made.signers);
    key.trusted = trusted(admin).await;
    key.write_new(&file).map_err(|error| {
        format!("{error}; {name} has a new key, but it is lost: run this again with another file")
    })?;
    let old_until = made.party.keys.iter().filter_map(|key| key.ends_at).max();
    let done = HandedOut { name: name.clone(), generation: made.generation, key_file: file, old_until };
    Ok(output.print(&done, |out| {
        writeln!(
            out,
            "{} has a new key, generation {}; it is in {}.",
            done.name,
            done.generation,
            done.key_file.display()
        )?;
        writeln!(out, "Bring that file to the party's host, mode 0600, and remove it here.")?;
        match done.old_until {
            Some(end) => writeln!(out, "The old key is accepted until {}.", time(end)),
            None => writeln!(out, "The party has no other key."),
        }
    })?)
}
