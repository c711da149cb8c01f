//! Waiting for something to become true, instead of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` every 20 ms until it answers `Some`, and returns that. Panics with `what` after `within`; the
/// last question is asked at or after the deadline, so a slow machine gets one more chance.
pub fn wait_for<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        let last = Instant::now() >= deadline;
        if let Some(found) = probe() {
            return found;
        }
        assert!(!last, "not within {within:?}: {what}");
        sleep(INTERVAL);
    }
}

/// Asks `condition` every 20 ms until it holds; panics with `what` after `within`.
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, within, || condition().then_some(()));
}
