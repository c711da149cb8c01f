//! Waiting for something to become true, or watching that it stays so, instead of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` every 20 ms until it answers `Some`, and returns that. Panics with `what` after `within`; the
/// last question is asked at or after the deadline, so a slow machine gets one more chance.
#[track_caller]
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
#[track_caller]
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, within, || condition().then_some(()));
}

/// Asks `condition` every 20 ms for so long, and once more at the end; panics with `what` as soon as it does not hold.
/// For what is not to happen.
#[track_caller]
pub fn stays(what: &str, for_so_long: Duration, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    loop {
        let last = begun.elapsed() >= for_so_long;
        assert!(condition(), "no longer after {:?}: {what}", begun.elapsed());
        if last {
            return;
        }
        sleep(INTERVAL);
    }
}

/// Asks `probe` every 20 ms until it has answered the same for so long, and returns that; panics with `what` after
/// `within`. For figures that come late.
#[track_caller]
pub fn settles<T: PartialEq>(what: &str, within: Duration, for_so_long: Duration, mut probe: impl FnMut() -> T) -> T {
    let mut seen = probe();
    let mut since = Instant::now();
    eventually(what, within, || {
        let now = probe();
        if now != seen {
            seen = now;
            since = Instant::now();
        }
        since.elapsed() >= for_so_long
    });
    seen
}
