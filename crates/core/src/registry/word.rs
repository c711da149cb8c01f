//! Activity and expired flag in one atomic word, so that a touch and an expiry cannot overwrite each other.
//!
//! ```text
//!  63  62 61                                                            0
//! ┌──────┬───────────────────────────────────────────────────────────────┐
//! │ flag │ activity: microseconds since PostgreSQL's earliest timestamp  │
//! └──────┴───────────────────────────────────────────────────────────────┘
//!   0: none   1: idle_expired   2: absolute_expired
//! ```
//!
//! - A **touch** is an atomic maximum with (no flag, now). It cannot move activity backwards. It cannot clear a flag either,
//!   since every word with a flag is greater than every word without one. The word that it replaces shows whether the
//!   touch made the entry dirty.
//! - An **expiry** is a compare-and-exchange from the word that was judged to the same activity with the flag. If a touch came
//!   first, it fails, and the check judges again. So a check's judgement and its record are one step.
//!
//! An entry is **dirty** if its activity is later than the activity that its row is known to have, and it has no flag. Touch
//! and flush read each other's field in sequentially consistent order. If both happen at once, one of them sees the other,
//! and the database is marked as having activity to flush.
//!
//! If an activity is later than now, because the clock was set back, it is judged as now. The word keeps it until the purge
//! sets the clocks of the row and gives it a new version.

use crate::time::{EARLIEST, Timestamp};
use crate::verdict::Expiry;

/// Bits of activity: 146,000 years of microseconds.
const ACTIVITY_BITS: u32 = 62;
const ACTIVITY_MASK: u64 = (1 << ACTIVITY_BITS) - 1;

/// A word's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// This activity, without the expired flag. A time that is out of a word's range becomes the nearest one within.
    pub fn of(activity: Timestamp) -> Self {
        let since = activity.micros().saturating_sub(EARLIEST);
        Self(u64::try_from(since).unwrap_or(0).min(ACTIVITY_MASK))
    }

    /// A word as it is stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits to store.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The same activity, with the expired flag.
    pub fn with_expiry(self, expiry: Expiry) -> Self {
        let flag = match expiry {
            Expiry::Idle => 1,
            Expiry::Absolute => 2,
        };
        Self(self.0 & ACTIVITY_MASK | flag << ACTIVITY_BITS)
    }

    /// The same flag, and an activity that is not later than `latest`.
    pub fn no_later_than(self, latest: Timestamp) -> Self {
        let activity = (self.0 & ACTIVITY_MASK).min(Self::of(latest).0);
        Self(self.0 & !ACTIVITY_MASK | activity)
    }

    /// The activity.
    pub fn activity(self) -> Timestamp {
        Timestamp::from_micros((self.0 & ACTIVITY_MASK) as i64 + EARLIEST)
    }

    /// The expired flag: which limit the session was found to have passed, if any.
    pub fn expiry(self) -> Option<Expiry> {
        match self.0 >> ACTIVITY_BITS {
            0 => None,
            1 => Some(Expiry::Idle),
            // 3 is never stored.
            2.. => Some(Expiry::Absolute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expired_word_is_greater_than_every_unexpired_one() {
        let latest = Word::of(Timestamp::from_micros(i64::MAX));
        for expiry in Expiry::ALL {
            let expired = Word::of(Timestamp::from_micros(i64::MIN)).with_expiry(expiry);
            assert!(expired.bits() > latest.bits());
        }
    }

    #[test]
    fn every_reason_is_read_as_it_was_set() {
        let word = Word::of(Timestamp::from_micros(0));
        for expiry in Expiry::ALL {
            assert_eq!(word.with_expiry(expiry).expiry(), Some(expiry));
        }
    }

    #[test]
    fn activity_is_cut_off_and_the_expired_flag_stays() {
        let (now, later) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
        for word in [Word::of(later), Word::of(later).with_expiry(Expiry::Absolute)] {
            assert_eq!(word.no_later_than(now).activity(), now);
            assert_eq!(word.no_later_than(now).expiry(), word.expiry());
            assert_eq!(word.no_later_than(later), word);
        }
    }

    #[test]
    fn activity_and_expired_flag_do_not_mix() {
        for micros in [EARLIEST, -1, 0, 1, 850_000_000_000_000_000] {
            let word = Word::of(Timestamp::from_micros(micros));
            assert_eq!((word.activity().micros(), word.expiry()), (micros, None));
            assert_eq!(word.with_expiry(Expiry::Absolute).expiry(), Some(Expiry::Absolute));
            assert_eq!(word.with_expiry(Expiry::Idle).activity().micros(), micros);
        }
        assert_eq!(Word::of(Timestamp::from_micros(i64::MIN)).activity().micros(), EARLIEST);
    }
}
