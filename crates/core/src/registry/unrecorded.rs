//! Expiries that no entry records: there was no room for an expired entry, or it was displaced by another database.
//!
//! When such a session was found expired, it had been idle for some time, or had some age. Of each of the two, the shortest in a
//! database is kept, as a **limit** of that database. Whoever judges a row of the database without a verified entry applies
//! these limits too.
//!
//! - **No session that was found expired becomes valid again.** It had activity `a`, and was found expired at `t`; the limit is
//!   at most `t - a`. Nobody touches it after that, so `a + limit` is before every later `now`, whatever the parameters have
//!   become. If the session's own limit has passed, its row shows that, and nothing is added.
//! - **The cost**: after a limit was raised, a session that was idle for as long ends too, although nobody had asked about it
//!   before. A session that was idle for a shorter time than all that were found expired never does.
//! - **The clock is read after the limits**, so that it is later than the expiries that made them.
//! - **A load compares again**, under the partition's lock, whether the limits are those by which its row was judged. Each
//!   addition changes them, even one that shortens nothing.
//! - **They are dropped** when a purge has gone over all rows, and nothing was added since it began. It has judged every row by
//!   them, and has added anew each row that it could neither delete nor set the expired flag of.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, SeqCst},
};

use chrono::TimeDelta;

use crate::time::{Timestamp, to_micros};
use crate::verdict::{Expiry, Session};

/// The lower bits of a word count additions. The upper ones hold the limit in milliseconds, subtracted from their greatest
/// value: so zeroed memory has no limit, and a shorter limit is a greater number.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const MOST: u64 = u64::MAX >> COUNT_BITS;

/// The limits of a database, in shared memory. Zeroed memory is valid, and has none.
#[derive(Debug, Default)]
pub struct Unrecorded {
    idle: AtomicU64,
    absolute: AtomicU64,
}

/// The limits at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnrecordedLimits {
    idle: u64,
    absolute: u64,
}

impl Unrecorded {
    /// A session was found expired at `now`, or earlier. To be called before a check answers so, and before the entry goes.
    pub fn add(&self, session: &Session, expiry: Expiry, now: Timestamp) {
        let (word, since, own) = match expiry {
            Expiry::Idle => (&self.idle, session.last_activity, session.idle_delay),
            Expiry::Absolute => (&self.absolute, session.opened_at, session.absolute_delay),
        };
        if own.is_some_and(|own| since.saturating_add(own) < now) {
            return;
        }
        add(word, now.since(since));
    }

    /// Adds the limits that an earlier run of the server has saved.
    pub fn restore(&self, saved: &UnrecordedLimits) {
        for (word, saved) in [(&self.idle, saved.idle()), (&self.absolute, saved.absolute())] {
            if let Some(limit) = saved {
                // Adding takes that off again.
                add(word, limit + TimeDelta::milliseconds(1));
            }
        }
    }

    /// The limits as they are now.
    pub fn limits(&self) -> UnrecordedLimits {
        UnrecordedLimits {
            idle: self.idle.load(SeqCst),
            absolute: self.absolute.load(SeqCst),
        }
    }

    /// Drops each of the two limits if nothing was added to it since it was as in `before`.
    pub fn drop_unless_added(&self, before: &UnrecordedLimits) {
        for (word, before) in [(&self.idle, before.idle), (&self.absolute, before.absolute)] {
            // The count stays: whoever has judged by the old limits must see that they have changed.
            let _ = word.compare_exchange(before, before & COUNT_MASK, AcqRel, Acquire);
        }
    }

    /// Replaces them by these.
    pub fn copy_from(&self, limits: &UnrecordedLimits) {
        self.idle.store(limits.idle, SeqCst);
        self.absolute.store(limits.absolute, SeqCst);
    }

    /// Removes both: another database takes this place.
    pub fn clear(&self) {
        self.idle.store(0, SeqCst);
        self.absolute.store(0, SeqCst);
    }
}

impl UnrecordedLimits {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.idle().is_none() && self.absolute().is_none()
    }

    /// The shortest time for which an expired session had been idle.
    #[must_use]
    pub fn idle(&self) -> Option<TimeDelta> {
        limit_of(self.idle)
    }

    /// The age of the youngest session that was found too old.
    #[must_use]
    pub fn absolute(&self) -> Option<TimeDelta> {
        limit_of(self.absolute)
    }

    /// Limits as they were saved.
    #[must_use]
    pub fn saved(idle: Option<TimeDelta>, absolute: Option<TimeDelta>) -> Self {
        let limits = Unrecorded::default();
        for (word, limit) in [(&limits.idle, idle), (&limits.absolute, absolute)] {
            if let Some(limit) = limit {
                add(word, limit + TimeDelta::milliseconds(1));
            }
        }
        limits.limits()
    }

    /// Whether a session may be one of those that were found expired. `now` must have been read after the limits.
    #[must_use]
    pub fn expiry(&self, session: &Session, now: Timestamp) -> Option<Expiry> {
        let is_past = |limit: Option<TimeDelta>, since: Timestamp| {
            limit.is_some_and(|limit| since.min(now).saturating_add(limit) < now)
        };
        if is_past(self.absolute(), session.opened_at) {
            return Some(Expiry::Absolute);
        }
        is_past(self.idle(), session.last_activity).then_some(Expiry::Idle)
    }
}

/// Rounds down, and takes a millisecond off, so that the session itself is past the limit from that moment on.
fn add(word: &AtomicU64, age: TimeDelta) {
    let millis = (to_micros(age) / 1000 - 1).clamp(0, MOST as i64 - 1) as u64;
    let limit = MOST - millis;
    let shorten = |old: u64| Some((old >> COUNT_BITS).max(limit) << COUNT_BITS | old.wrapping_add(1) & COUNT_MASK);
    let _ = word.fetch_update(SeqCst, SeqCst, shorten);
}

fn limit_of(word: u64) -> Option<TimeDelta> {
    let limit = word >> COUNT_BITS;
    (limit != 0).then(|| TimeDelta::milliseconds((MOST - limit) as i64))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::at;
    use super::*;

    fn used_at(seconds: i64) -> Session {
        Session {
            opened_at: at(0),
            last_activity: at(seconds),
            idle_delay: None,
            absolute_delay: None,
        }
    }

    #[test]
    fn a_session_that_was_found_expired_stays_expired() {
        for (activity, found) in [(10, 71), (10, 10), (-1_000_000_000, 9_000_000_000_000)] {
            for expiry in Expiry::ALL {
                let session = Session {
                    opened_at: at(activity),
                    ..used_at(activity)
                };
                let unrecorded = Unrecorded::default();
                unrecorded.add(&session, expiry, at(found));
                for later in [at(found), at(found + 1), at(i64::MAX / 2_000_000)] {
                    let found_now = unrecorded.limits().expiry(&session, later);
                    assert_eq!(found_now, (later > at(activity)).then_some(expiry));
                }
            }
        }
    }

    #[test]
    fn a_session_that_was_idle_for_a_shorter_time_stays_valid() {
        let unrecorded = Unrecorded::default();
        unrecorded.add(&used_at(10), Expiry::Idle, at(110));
        unrecorded.add(&used_at(10), Expiry::Idle, at(310));
        let limits = unrecorded.limits();
        assert_eq!(limits.expiry(&used_at(900), at(999)), None);
        assert_eq!(limits.expiry(&used_at(899), at(1000)), Some(Expiry::Idle));
        assert_eq!(limits.absolute(), None);
    }

    #[test]
    fn a_session_past_its_own_limit_adds_nothing() {
        let unrecorded = Unrecorded::default();
        let short = Session {
            idle_delay: Some(TimeDelta::seconds(5)),
            ..used_at(10)
        };
        unrecorded.add(&short, Expiry::Idle, at(16));
        assert!(unrecorded.limits().is_none());
        let long = Session {
            idle_delay: Some(TimeDelta::seconds(500)),
            ..short
        };
        unrecorded.add(&long, Expiry::Idle, at(71));
        assert!(!unrecorded.limits().is_none());
    }

    #[test]
    fn every_addition_shows_and_prevents_a_drop() {
        let unrecorded = Unrecorded::default();
        unrecorded.add(&used_at(0), Expiry::Idle, at(60));
        let before = unrecorded.limits();
        unrecorded.add(&used_at(0), Expiry::Idle, at(90));
        assert_eq!(unrecorded.limits().idle(), before.idle());
        assert_ne!(unrecorded.limits(), before);
        unrecorded.drop_unless_added(&before);
        assert!(!unrecorded.limits().is_none());
        let before = unrecorded.limits();
        unrecorded.drop_unless_added(&before);
        assert!(unrecorded.limits().is_none());
        assert_ne!(unrecorded.limits(), before, "whoever has judged by them sees it");
    }

    #[test]
    fn limits_are_saved_and_restored() {
        let unrecorded = Unrecorded::default();
        unrecorded.add(&used_at(0), Expiry::Idle, at(60));
        unrecorded.add(&used_at(0), Expiry::Absolute, at(600));
        let limits = unrecorded.limits();
        let saved = UnrecordedLimits::saved(limits.idle(), limits.absolute());
        let next = Unrecorded::default();
        next.restore(&saved);
        assert_eq!(next.limits().idle(), limits.idle());
        assert_eq!(next.limits().absolute(), limits.absolute());
        assert!(UnrecordedLimits::saved(None, None).is_none());
    }
}
