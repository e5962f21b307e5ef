//! How many hosts wait for an administrator: counted again when others changed that, so that nobody counts for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use keycell_protocol::UnixMillis;

use super::{Crowd, WaitingRecord, WaitingState};
use crate::directory::Directory;
use crate::limit::Network;
use crate::store::{Documents, Kind, Store, StoreError};

/// Those who wait, by network.
#[derive(Debug, Default, Clone)]
pub(super) struct Waiting {
    all: u32,
    networks: HashMap<Network, u32>,
    /// Up to which change the count is true, and since when.
    counted: Option<(u64, Instant)>,
}

impl Waiting {
    /// Counts again, if need be. While there is plenty of room that is not done for every change.
    pub(super) async fn count(
        &mut self,
        store: &dyn Store,
        directory: &Directory,
        now: UnixMillis,
        most: u32,
    ) -> Result<(), StoreError> {
        // Before it is read: what is changed meanwhile is counted the next time.
        let change = directory.waiting_changes();
        let fresh =
            |(counted, at): (u64, Instant)| counted == change || (self.all < most / 2 && at.elapsed() < SOON);
        if self.counted.is_some_and(fresh) {
            return Ok(());
        }
        let counted = Some((change, Instant::now()));
        let documents = store.documents(Kind::Enrollment).await?;
        *self = Self { counted, ..Self::of(&documents, now) };
        Ok(())
    }

    /// Those in these documents. Whether Keycell wrote each does not matter for how many they are.
    fn of(documents: &Documents, now: UnixMillis) -> Self {
        let mut waiting = Self::default();
        for document in &documents.documents {
            let Ok(record) = serde_json::from_str::<WaitingRecord>(&document.body) else { continue };
            if record.state == WaitingState::Waiting && record.lasts(now) {
                waiting.all = waiting.all.saturating_add(1);
                if let Some(address) = record.address {
                    *waiting.networks.entry(Network::of(address)).or_default() += 1;
                }
            }
        }
        waiting
    }

    /// What one from there has to do with.
    pub(super) fn crowd(&self, address: IpAddr) -> Crowd {
        let network = self.networks.get(&Network::of(address)).copied().unwrap_or_default();
        Crowd { all: self.all, network }
    }

    /// One more.
    pub(super) fn add(&mut self, address: IpAddr) {
        self.all = self.all.saturating_add(1);
        *self.networks.entry(Network::of(address)).or_default() += 1;
    }
}

/// How long a count is good enough while there is plenty of room.
const SOON: Duration = Duration::from_secs(1);
