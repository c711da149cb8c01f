//! The wall clock.

use std::cell::Cell;

use session_timeout_core::time::{Clock, Timestamp};

use crate::unguarded;

/// Now, as `clock_timestamp()` says: never the transaction's start.
pub fn now() -> Timestamp {
    Timestamp::from_micros(unguarded::current_timestamp())
}

/// "Now" of a check.
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
