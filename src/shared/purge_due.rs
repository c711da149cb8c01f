//! When the next purge of a database can find something: the earliest bound of its pages
//! ([`session_timeout_core::page_bounds`]). Until then no worker is started for a purge.

use std::sync::atomic::{
    AtomicI64, AtomicU32,
    Ordering::{Acquire, SeqCst},
};

use session_timeout_core::page_bounds::LONGEST;

use super::control::Control;
use super::schedule::is_ahead;

/// When a purge is due by what the last one saw. Times are in microseconds since 2000-01-01; `i64::MIN`: at the next purge
/// interval.
#[derive(Default)]
pub struct PurgeDue {
    /// The epoch of the bounds of the database's pages.
    epoch: AtomicU32,
    /// When a purge is due.
    at: AtomicI64,
    /// The earliest bound that the purge in progress has found so far.
    found: AtomicI64,
    /// The number of the file that the purge in progress reads.
    file: AtomicU32,
}

impl PurgeDue {
    /// The epoch. Must be read before the parameters and the pages by which a bound is computed.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(SeqCst)
    }

    /// From now on no bound counts. Allocates nothing, raises nothing.
    pub fn begin_epoch(&self, control: &Control) {
        self.epoch.store(control.new_generation() as u32, SeqCst);
        self.unknown();
    }

    /// A page must be read by the next purge, or by the one in progress. Its bound, if it had one, is gone already.
    pub fn unknown(&self) {
        // In this order: see `purge_ended`.
        self.found.store(i64::MIN, SeqCst);
        self.at.store(i64::MIN, SeqCst);
    }

    /// A purge begins at the first page.
    pub fn purge_begins(&self) {
        self.found.store(i64::MAX, SeqCst);
        self.at.store(i64::MIN, SeqCst);
    }

    /// The purge in progress is about to read pages of this file, from its first page or further on. Whether it has read
    /// those before in the same file.
    pub fn continues_in(&self, file_number: u32) -> bool {
        self.file.swap(file_number, SeqCst) == file_number
    }

    /// The purge in progress has passed a page that must be read again at this time.
    pub fn page_due(&self, at: i64) {
        self.found.fetch_min(at, SeqCst);
    }

    /// The purge has passed the last page. The next one is due at `latest`, or when the first page must be read again.
    pub fn purge_ended(&self, latest: i64) {
        let found = self.found.load(SeqCst);
        self.at.store(found.min(latest), SeqCst);
        // Either this sees what `unknown` stored meanwhile, or `unknown` stores `at` after this has.
        if self.found.load(SeqCst) < found {
            self.at.store(i64::MIN, SeqCst);
        }
    }

    /// When a purge is due, by a clock that says `now`. At once if that is later than any purge of this clock can have said.
    pub fn at(&self, now: i64) -> i64 {
        match self.at.load(Acquire) {
            at if is_ahead(at, now.saturating_add(LONGEST)) => i64::MIN,
            at => at,
        }
    }
}
