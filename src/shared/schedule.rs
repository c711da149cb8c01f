//! When something is due, and how long to wait before something is tried again.

use std::sync::atomic::{
    AtomicI64,
    Ordering::{Acquire, Release},
};

use crate::guc;

/// How long a worker leaves alone what another transaction has locked, in microseconds.
pub const LATER: i64 = 2_000_000;

/// The longest wait before something is tried again, in microseconds: a database is served within a minute after it has
/// been repaired.
pub const MAX_BACKOFF: i64 = 60_000_000;

/// The `n`th wait in a row, counted from 1: each twice as long as the one before.
pub fn backoff(first: i64, n: u32) -> i64 {
    first.saturating_mul(1 << n.saturating_sub(1).min(20)).min(MAX_BACKOFF)
}

/// Whether a time that somebody read as now comes from a clock that was ahead of the one that says `now`. Two processes
/// may read the clock a moment apart.
pub fn is_ahead(time: i64, now: i64) -> bool {
    const MOMENT: i64 = 1_000_000;
    time > now.saturating_add(MOMENT)
}

/// Something that is done at an interval.
#[derive(Default)]
pub struct Schedule {
    /// When it was begun last, in microseconds since 2000-01-01; `i64::MIN`: never.
    last: AtomicI64,
    /// The interval, in microseconds.
    every: AtomicI64,
}

impl Schedule {
    /// When it is due, in microseconds since 2000-01-01, by a clock that says `now`. At once if it was begun by a clock that
    /// was ahead of this one. An interval shorter than `session_timeout.naptime` counts as that.
    pub fn next(&self, now: i64) -> i64 {
        match self.last.load(Acquire) {
            i64::MIN => i64::MIN,
            last if is_ahead(last, now) => i64::MIN,
            last => last.saturating_add(self.every.load(Acquire).max(guc::naptime() * 1_000_000)),
        }
    }

    /// Sets the interval, in microseconds.
    pub fn set_every(&self, every: i64) {
        self.every.store(every, Release);
    }

    /// It was begun at this time.
    pub fn done(&self, begun: i64) {
        self.last.store(begun, Release);
    }

    /// It is due at once.
    pub fn make_due(&self) {
        self.last.store(i64::MIN, Release);
    }
}
