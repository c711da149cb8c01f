//! Activity and mark in one atomic word, so that a touch and an expiry cannot cross.
//!
//! The upper two bits are the mark, the lower 62 the activity. A touch is a maximum: it cannot move activity backwards,
//! and as every marked word is greater than every unmarked one, it cannot clear a mark. An expiry is a compare-and-
//! exchange on the very word that was judged: it fails where a touch came first.
use crate::time::{EARLIEST, Timestamp};
use crate::verdict::Expiry;

/// Bits of activity: 146,000 years of microseconds.
const ACTIVITY_BITS: u32 = 62;
const ACTIVITY_MASK: u64 = (1 << ACTIVITY_BITS) - 1;

/// A word's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// Unmarked, with this activity. Times beyond what a word holds become its nearest.
    pub fn of(activity: Timestamp) -> Self {
        let since = activity.micros().saturating_sub(EARLIEST);
        Self(u64::try_from(since).unwrap_or(0).min(ACTIVITY_MASK))
    }

    /// As stored.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To be stored.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The same activity, marked.
    pub fn with_expiry(self, expiry: Expiry) -> Self {
        let expiry = match expiry {
            Expiry::Idle => 1,
            Expiry::Absolute => 2,
        };
        Self(self.0 & ACTIVITY_MASK | expiry << ACTIVITY_BITS)
    }

    /// The same mark, and no later activity than this.
    pub fn no_later_than(self, latest: Timestamp) -> Self {
        let activity = (self.0 & ACTIVITY_MASK).min(Self::of(latest).0);
        Self(self.0 & !ACTIVITY_MASK | activity)
    }

    /// The activity.
    pub fn activity(self) -> Timestamp {
        Timestamp::from_micros((self.0 & ACTIVITY_MASK) as i64 + EARLIEST)
    }

    /// What it is marked as, if it is.
    pub fn expiry(self) -> Option<Expiry> {
        match self.0 >> ACTIVITY_BITS {
            0 => None,
            1 => Some(Expiry::Idle),
            _ => Some(Expiry::Absolute),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marked_word_is_greater_than_every_unmarked_one() {
        let latest = Word::of(Timestamp::from_micros(i64::MAX));
        for expiry in [Expiry::Idle, Expiry::Absolute] {
            assert!(Word::of(Timestamp::from_micros(i64::MIN)).with_expiry(expiry).bits() > latest.bits());
        }
    }

    #[test]
    fn activity_is_cut_off_and_the_mark_stays() {
        let (now, later) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
        for word in [Word::of(later), Word::of(later).with_expiry(Expiry::Absolute)] {
            assert_eq!(word.no_later_than(now).activity(), now);
            assert_eq!(word.no_later_than(now).expiry(), word.expiry());
            assert_eq!(word.no_later_than(later), word);
        }
    }

    #[test]
    fn activity_and_mark_are_told_apart() {
        for micros in [EARLIEST, -1, 0, 1, 850_000_000_000_000_000] {
            let word = Word::of(Timestamp::from_micros(micros));
            assert_eq!((word.activity().micros(), word.expiry()), (micros, None));
            assert_eq!(word.with_expiry(Expiry::Absolute).expiry(), Some(Expiry::Absolute));
            assert_eq!(word.with_expiry(Expiry::Idle).activity().micros(), micros);
        }
        assert_eq!(Word::of(Timestamp::from_micros(i64::MIN)).activity().micros(), EARLIEST);
    }
}
