//! The wall clock.

use std::cell::Cell;

use session_timeout_core::time::{Clock, Timestamp};

use super::nothrow;

/// Now, as `clock_timestamp()` answers: never the start of the transaction.
pub fn now() -> Timestamp {
    Timestamp::from_micros(nothrow::current_timestamp())
}

/// The "now" of one check: read when the check starts, and again after everything that may have waited.
pub struct CheckClock(Cell<Timestamp>);

impl CheckClock {
    /// Reads the clock.
    pub fn start() -> Self {
        Self(Cell::new(now()))
    }
}

impl Clock for &CheckClock {
    fn now(&self) -> Timestamp {
        self.0.get()
    }

    fn now_after_wait(&self) -> Timestamp {
        self.0.set(now());
        self.0.get()
    }
}
