//! Until when a purge need not read a page of a session table.
//!
//! A purge that has read a page knows the earliest time at which one of its sessions can pass a limit, the page's **bound**,
//! and stores it in memory that all processes share. Until then later purges skip the page, but for [`LONGEST`] at most.
//!
//! There is no bound for every page: a page has one place where its bound may be, which it shares with other pages. A bound that
//! is not there, because another page has taken the place or the server was restarted, costs one read of the page.
//!
//! # Why no bound is too late
//!
//! A bound counts every tuple of the page that can be visible now or later: also one that a running transaction has
//! inserted, and one that it has deleted. What is written later:
//!
//! - **By our functions and workers.** They write the tuple and then call [`PageBounds::written`], but for the worker's flush
//!   of a row that stays on its page: that makes nothing due earlier, and this worker reads no page meanwhile. The reader has stored
//!   `READING` before it reads ([`PageBounds::begin`]), and replaces only that by the bound ([`PageBounds::end`]). So if the
//!   tuple came too late for the reader, either `written` finds `READING`, and the reader stores nothing, or it finds the bound,
//!   and removes it.
//! - **By hand.** A trigger notes that the transaction has written rows, and just before its commit the database gets a new
//!   **epoch**. A bound counts only in the epoch that the reader had read before the page. So a reader in the new epoch begins
//!   after all the tuples were written, and sees them.
//! - **Limits.** A commit that changes parameters begins a new epoch, too, and readers read the epoch before the parameters.
//! - **Other files.** `VACUUM FULL`, `TRUNCATE` and other rewrites give the table another file, and a bound names its file.
//!
//! Epochs are unique in the server, so the epoch also says of which database a bound is.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::time::Timestamp;

/// The longest time for which a page is skipped, in microseconds: an hour.
pub const LONGEST: i64 = 3_600_000_000;

/// How far two processes' clocks may be apart, in microseconds.
const MOMENT: i64 = 1_000_000;

/// The place of a bound. Zeroed memory is valid, and has no bound.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Place {
    /// The number of the file, and that of the page.
    page: AtomicU64,
    /// The epoch, and the bound in seconds since 2000, rounded up: a purge that comes too early finds nothing.
    bound: AtomicU64,
}

/// Bounds that mean something else.
const NONE: u32 = 0;
const READING: u32 = u32::MAX;

/// A session table, as it is stored in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// PostgreSQL's number of the file.
    pub number: u32,
    /// The epoch of the database.
    pub epoch: u32,
}

/// The bounds of pages of all session tables of the server.
#[derive(Clone, Copy, Debug)]
pub struct PageBounds<'m> {
    places: &'m [Place],
}

impl<'m> PageBounds<'m> {
    /// How many places there are for a number of sessions: a byte for each session. A page holds 40 sessions or more.
    pub fn places_for(sessions: usize) -> usize {
        (sessions / 16).max(64)
    }

    /// In this memory, which is not empty.
    pub fn new(places: &'m [Place]) -> Self {
        Self { places }
    }

    /// Until when the page need not be read, in microseconds since 2000; `None` if it must be read now.
    pub fn skip_until(&self, file: File, page: u32, now: Timestamp) -> Option<i64> {
        let place = self.place(file.number, page);
        let is_of_page = || place.page.load(SeqCst) == name(file.number, page);
        if !is_of_page() {
            return None;
        }
        let (epoch, seconds) = unpack(place.bound.load(SeqCst));
        if epoch != file.epoch || seconds == NONE || seconds == READING || !is_of_page() {
            return None;
        }
        let until = i64::from(seconds) * 1_000_000;
        // A later one comes from a clock that was set back since.
        let latest = now.micros().saturating_add(LONGEST + MOMENT);
        (until > now.micros() && until <= latest).then_some(until)
    }

    /// The caller is about to read the page.
    pub fn begin(&self, file: File, page: u32) {
        let place = self.place(file.number, page);
        place.bound.store(0, SeqCst);
        place.page.store(name(file.number, page), SeqCst);
        place.bound.store(pack(file.epoch, READING), SeqCst);
    }

    /// The caller has read the page, which need not be read before `until`, in microseconds since 2000. Returns when it must be
    /// read: that, less than a second later.
    pub fn end(&self, file: File, page: u32, until: i64) -> i64 {
        let seconds = until
            .div_euclid(1_000_000)
            .saturating_add(i64::from(until.rem_euclid(1_000_000) > 0));
        let seconds = seconds.clamp(0, i64::from(READING) - 1) as u32;
        let (reading, bound) = (pack(file.epoch, READING), pack(file.epoch, seconds));
        let place = self.place(file.number, page);
        // If it fails, the page has been written to, or another page has taken the place.
        let _ = place.bound.compare_exchange(reading, bound, SeqCst, SeqCst);
        i64::from(seconds) * 1_000_000
    }

    /// A tuple was written to the page, by a transaction that has not committed yet.
    pub fn written(&self, file_number: u32, page: u32) {
        let place = self.place(file_number, page);
        let mut bound = place.bound.load(SeqCst);
        while place.page.load(SeqCst) == name(file_number, page) {
            let none = pack(unpack(bound).0, NONE);
            match place.bound.compare_exchange(bound, none, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(newer) => bound = newer,
            }
        }
    }

    fn place(&self, file_number: u32, page: u32) -> &'m Place {
        // Pages that follow each other have places that follow each other, so that a walk over many is fast.
        let first = u64::from(file_number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.places[(first + u64::from(page)) as usize % self.places.len()]
    }
}

fn name(file_number: u32, page: u32) -> u64 {
    u64::from(file_number) << 32 | u64::from(page)
}

fn pack(epoch: u32, seconds: u32) -> u64 {
    u64::from(epoch) << 32 | u64::from(seconds)
}

fn unpack(bound: u64) -> (u32, u32) {
    ((bound >> 32) as u32, bound as u32)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32};
    use std::thread;

    use super::*;

    const FILE: File = File { number: 7, epoch: 3 };
    const NOW: Timestamp = Timestamp::from_micros(800_000_000_000_000);
    const SOON: i64 = NOW.micros() + 60_000_000;

    fn places(count: usize) -> Vec<Place> {
        std::iter::repeat_with(Place::default).take(count).collect()
    }

    fn read(bounds: PageBounds, file: File, page: u32, until: i64) {
        bounds.begin(file, page);
        bounds.end(file, page, until);
    }

    #[test]
    fn a_page_is_skipped_until_its_bound() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
        read(bounds, FILE, 5, SOON);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), Some(SOON));
        assert_eq!(bounds.skip_until(FILE, 5, Timestamp::from_micros(SOON)), None);
        assert_eq!(bounds.skip_until(FILE, 6, NOW), None);
    }

    #[test]
    fn a_bound_counts_in_its_file_and_its_epoch_only() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        read(bounds, FILE, 5, SOON);
        assert_eq!(bounds.skip_until(File { epoch: 4, ..FILE }, 5, NOW), None);
        assert_eq!(bounds.skip_until(File { number: 8, ..FILE }, 5, NOW), None);
    }

    #[test]
    fn a_page_that_is_written_to_must_be_read() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        read(bounds, FILE, 5, SOON);
        bounds.written(FILE.number, 6);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), Some(SOON));
        bounds.written(FILE.number, 5);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
        // While it is being read.
        bounds.begin(FILE, 5);
        bounds.written(FILE.number, 5);
        bounds.end(FILE, 5, SOON);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
    }

    #[test]
    fn a_page_that_takes_the_place_of_another_takes_its_bound_away() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        read(bounds, FILE, 5, SOON);
        bounds.begin(FILE, 5 + 64);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
        bounds.end(FILE, 5, SOON);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
    }

    #[test]
    fn a_bound_of_a_clock_that_was_ahead_does_not_count() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        read(bounds, FILE, 5, NOW.micros() + LONGEST);
        assert!(bounds.skip_until(FILE, 5, NOW).is_some());
        let back = Timestamp::from_micros(NOW.micros() - 2 * MOMENT);
        assert_eq!(bounds.skip_until(FILE, 5, back), None);
    }

    #[test]
    fn a_bound_is_rounded_up_and_said() {
        let places = places(64);
        let bounds = PageBounds::new(&places);
        for (until, rounded) in [
            (SOON, SOON),
            (SOON + 1, SOON + 1_000_000),
            (SOON + 999_999, SOON + 1_000_000),
        ] {
            bounds.begin(FILE, 5);
            assert_eq!(bounds.end(FILE, 5, until), rounded);
            assert_eq!(bounds.skip_until(FILE, 5, NOW), Some(rounded));
        }
        bounds.begin(FILE, 5);
        assert_eq!(bounds.end(FILE, 5, i64::MIN), 0);
        assert_eq!(bounds.skip_until(FILE, 5, NOW), None);
    }

    /// One thread writes tuples that are due earlier and earlier, another reads the page and stores its bound: whatever the
    /// order, no bound that stands after both have ended is later than the earliest tuple.
    #[test]
    fn no_tuple_is_missed_beside_a_reader() {
        for round in 0..2_000 {
            let places = places(1);
            let bounds = PageBounds::new(&places);
            let (earliest, is_over) = (AtomicU32::new(1_000), AtomicBool::new(false));
            let until = |minutes: u32| NOW.micros() + i64::from(minutes) * 1_000_000;
            thread::scope(|scope| {
                scope.spawn(|| {
                    for minutes in (900..1_000).rev().take(1 + round % 7) {
                        earliest.store(minutes, SeqCst);
                        bounds.written(FILE.number, 0);
                    }
                    is_over.store(true, SeqCst);
                });
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        bounds.begin(FILE, 0);
                        let seen = earliest.load(SeqCst);
                        bounds.end(FILE, 0, until(seen));
                    }
                });
            });
            if let Some(skipped) = bounds.skip_until(FILE, 0, NOW) {
                assert_eq!(skipped, until(earliest.load(SeqCst)), "round {round}");
            }
        }
    }
}
