//! `keycell master-key drill`

use clap::Args;
use serde::Serialize;

use super::super::output::Output;
use super::super::{Global, Outcome};
use super::input::Input;
use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::store::{self, Act, KeyState, Store};

/// The KDC goes on meanwhile. The key from the shares opens the key check and, if there is a party, a key of one that is drawn
/// by lot; then it is forgotten. That there was a drill is recorded in the audit log.
#[derive(Debug, Args)]
pub(in crate::cli) struct Drill {
    #[command(flatten)]
    input: Input,
}

#[derive(Serialize)]
struct Passed {
    set: String,
    shares: Vec<u8>,
    versions: Vec<u32>,
    /// Whose key was opened.
    party: Option<String>,
}

impl Drill {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = global.config()?;
        let joined = self.input.join()?;
        let versions = joined.keys.versions();
        let store = store::connect(&config.database).await?;
        let passed = async {
            let cell = Cell::of(store.clone(), joined.keys).await?;
            let party = try_one(&cell, &*store).await?;
            let event = Caller::console()
                .event(SystemClock.now(), Action::MasterKeyDrill, "")
                .with("set", joined.set.as_str())
                .with("shares", joined.indexes.clone());
            store.commit(&Act { writes: Vec::new(), events: vec![event] }, &cell.audit_key).await?;
            Outcome::Ok(Passed { set: joined.set, shares: joined.indexes, versions, party })
        };
        let passed = passed.await;
        store.close().await;
        let passed = passed?;
        Ok(output.print(&passed, |out| {
            let shares: Vec<_> = passed.shares.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "Passed: the shares {} of set {} make the master key of this database.",
                shares.join(", "),
                passed.set
            )?;
            match &passed.party {
                Some(party) => writeln!(out, "It opens the key of {party}. Nothing was changed."),
                None => writeln!(out, "There is no party whose key it could open. Nothing was changed."),
            }
        })?)
    }
}

/// Opens the keys of a party that is drawn by lot.
async fn try_one(cell: &Cell, store: &dyn Store) -> Outcome<Option<String>> {
    let all = store.parties().await?.parties;
    let with_key: Vec<_> =
        all.iter().filter(|party| party.keys.iter().any(|key| key.state != KeyState::Dead)).collect();
    let lot = fastrand::usize(..with_key.len().max(1));
    let Some(party) = with_key.get(lot) else { return Ok(None) };
    for key in party.keys.iter().filter(|key| key.state != KeyState::Dead) {
        cell.keyring.open_key(party, key)?;
    }
    Ok(Some(party.name.to_string()))
}
