//! Waiting for something to become true: looking again and again, a bounded number of times.

#![expect(clippy::panic, reason = "what never happens fails the test that waited for it")]

use std::time::Duration;

/// Looks until there is something to see.
///
/// # Panics
/// When there is nothing after about a minute: `what` says what was waited for.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(seen) = look().await {
            return seen;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited in vain: {what}");
}

/// The same for who is not asynchronous.
///
/// # Panics
/// As [`until`].
pub fn until_blocking<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("waited in vain: {what}");
}

const LOOKS: usize = 2_400;
const PAUSE: Duration = Duration::from_millis(25);
