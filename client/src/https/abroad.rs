//! The background task that asks for tickets of other zones, for each of them by itself: a KDC that waits for another zone's
//! takes its time, and nobody else waits for that.

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::Zone;
use tokio::task::JoinSet;
use tokio::time::Duration;

use super::driver::{NAP_MS, turn};
use super::kdcs::Kdcs;
use super::shared::Shared;
use super::transport::Transport;

pub(super) async fn run(shared: Arc<Shared>, kdcs: Kdcs, transport: Arc<dyn Transport>) {
    // Which KDCs answered is remembered for each zone: one that waits for another zone in vain may be well otherwise.
    let mut known = BTreeMap::<Zone, Kdcs>::new();
    let mut asking = JoinSet::<(Zone, Kdcs)>::new();
    loop {
        while let Some(done) = asking.try_join_next() {
            known.extend(done);
        }
        let now = shared.clock.now();
        let (request, wakeup) = {
            let mut agent = shared.lock();
            let room = asking.len() < MOST;
            (room.then(|| agent.wants_tickets_abroad(now)).flatten(), agent.next_wakeup_abroad(now))
        };
        if let Some(request) = request
            && let Some(zone) = request.abroad().cloned()
        {
            let mut kdcs = known.remove(&zone).unwrap_or_else(|| kdcs.clone());
            let (shared, transport) = (Arc::clone(&shared), Arc::clone(&transport));
            asking.spawn(async move {
                turn(&shared, &mut kdcs, &*transport, &request).await;
                shared.keep.notify_one();
                shared.changed.send_replace(());
                shared.wake_abroad.notify_one();
                (zone, kdcs)
            });
            continue;
        }
        if known.len() > MOST {
            known.clear();
        }
        // Where there is no room, one that is done makes it.
        let wakeup = wakeup.filter(|_| asking.len() < MOST);
        let nap = Duration::from_millis(wakeup.map_or(NAP_MS, |at| at.0.saturating_sub(now.0)));
        let nap = nap.clamp(Duration::from_millis(1), Duration::from_millis(NAP_MS));
        let _ = tokio::time::timeout(nap, shared.wake_abroad.notified()).await;
    }
}

/// The most zones that are asked for tickets of at a time.
const MOST: usize = 64;
