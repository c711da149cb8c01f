//! What a transaction notes of a session that it changed, and what of that counts at its end.
//!
//! A transaction sees its own changes at once, and nobody else does. So its checks of a session that it has changed judge the
//! row as the transaction has it, and what they find is noted here. The notes are applied to the entry at the end:
//!
//! | noted | at a commit | at an abort |
//! | --- | --- | --- |
//! | a touch | counts if its row's version is the committed one, or the committed one goes on from it | counts unless the transaction itself gave its row's version |
//! | a limit found passed | the same | the same |
//!
//! If the transaction has changed a parameter, nothing counts at an abort: the checks were judged by what was rolled back.
//!
//! A note names its row by version. A version that the transaction gave is greater than all that were there before, and
//! belongs to nobody else. A rollback to a savepoint may take a row back, with its version; so the transaction looks at the row
//! before it commits ([`SessionNotes::is_in_doubt`], [`SessionNotes::set_committed`]), and what counts is decided by the version
//! that it finds.
//!
//! # Origins
//!
//! A version is either a new login, or is **derived** from another one: from the session's version before a change of its
//! limits, or from the session that was rotated. The **origin** of a version is the login that others know, from which it is
//! derived, through however many changes in this transaction. Others touch and expire the origin until the commit. At the
//! commit the origin is [retired](super::Registry::retire), and the word that it ended with goes to the derived version.

use super::invalidation::{EntryUpdate, Invalidation, Outcome};
use super::key::Key;
use super::row::Row;
use super::word::Word;
use crate::savepoints::Savepoints;
use crate::time::Timestamp;
use crate::verdict::Expiry;

/// What happened to a session in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the transaction only checked it.
    None,
    /// It logged in or was rotated, or its row was changed.
    Written,
    /// It was closed: its row is gone.
    Closed,
    /// It was found expired: its row is gone.
    Expired,
}

/// From which login the versions are derived that the transaction gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// The login as others know it; `None` if the versions are of a new login.
    login: Option<(Key, i64)>,
    /// The first version that is derived from it.
    from: i64,
}

/// The version of the row as it will be committed; `None` if there will be no row.
pub type Committed = Option<i64>;

/// The notes of one session that a transaction changed, or checked after it had changed what the check depends on.
#[derive(Debug)]
pub struct SessionNotes {
    key: Key,
    change: Change,
    /// It was closed at some time, whatever came after that.
    was_closed: bool,
    /// While its commit is under way.
    pub invalidation: Option<Invalidation>,
    /// Requests that counted, each with the row by which it was judged.
    touches: Savepoints<(Row, Timestamp)>,
    /// Limits that checks found passed, each with the row by which it was judged.
    expired: Savepoints<(Row, Expiry)>,
    origin: Savepoints<Origin>,
    /// The first version that the transaction gave.
    own_from: Option<i64>,
    /// The version of the login that a new one replaces, and that nobody had found expired by then.
    replaced: Savepoints<i64>,
    committed: Option<Committed>,
    derived: Option<(i64, Word)>,
}

impl SessionNotes {
    /// Without any note.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            change: Change::None,
            was_closed: false,
            invalidation: None,
            touches: Savepoints::default(),
            expired: Savepoints::default(),
            origin: Savepoints::default(),
            own_from: None,
            replaced: Savepoints::default(),
            committed: None,
            derived: None,
        }
    }

    /// Which session.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What happened to it last.
    pub fn change(&self) -> Change {
        self.change
    }

    /// Notes what happens to it.
    pub fn set_change(&mut self, change: Change) {
        self.change = change;
        self.was_closed |= change == Change::Closed;
    }

    /// Notes a request that counted.
    pub fn touch(&mut self, subtransaction: u32, row: Row, now: Timestamp) {
        self.touches.set(subtransaction, (row, now));
    }

    /// Notes that a check found it expired.
    pub fn expire(&mut self, subtransaction: u32, row: Row, expiry: Expiry) {
        self.expired.set(subtransaction, (row, expiry));
    }

    /// What the transaction alone knows of the login of this version: its newest request, and the limit that it has passed.
    pub fn known(&self, version: i64) -> (Option<Timestamp>, Option<Expiry>) {
        let touch = self.touches.newest(|(row, _)| row.version == version);
        let expired = self.expired.newest(|(row, _)| row.version == version);
        (touch.map(|(_, now)| *now), expired.map(|(_, expiry)| *expiry))
    }

    /// The transaction gives the row this version, derived from a login as others know it, or `None` for a new login.
    pub fn derive(&mut self, subtransaction: u32, version: i64, login: Option<(Key, i64)>) {
        self.own_from.get_or_insert(version);
        if self.origin.last().and_then(|origin| origin.login) != login {
            self.origin.set(subtransaction, Origin { login, from: version });
        }
    }

    /// The login that others know, from which this version is derived; otherwise itself.
    pub fn origin_of(&self, version: i64) -> (Key, i64) {
        match self.origin.last() {
            Some(Origin {
                login: Some(login),
                from,
            }) if *from <= version => *login,
            Some(_) | None => (self.key, version),
        }
    }

    /// A new login replaces the one of this version.
    pub fn replace(&mut self, subtransaction: u32, version: i64) {
        if self.replaced.last().is_none() {
            self.replaced.set(subtransaction, version);
        }
    }

    /// Rolls back to a savepoint. `keep_checks`: what checks were judged by has not been changed.
    pub fn roll_back(&mut self, subtransaction: u32, keep_checks: bool) {
        self.origin.roll_back(subtransaction);
        self.replaced.roll_back(subtransaction);
        if !keep_checks {
            self.touches.roll_back(subtransaction);
            self.expired.roll_back(subtransaction);
        }
    }

    /// Whether the transaction must look at the row before it commits. `rolled_back`: it has rolled back to a savepoint.
    pub fn is_in_doubt(&self, rolled_back: bool) -> bool {
        let has_notes = self.touches.last().is_some()
            || self.expired.last().is_some()
            || self.origin.last().is_some()
            || self.replaced.last().is_some();
        self.change != Change::None && (rolled_back || has_notes)
    }

    /// Notes how the row will be committed.
    pub fn set_committed(&mut self, committed: Committed) {
        self.committed = Some(committed);
    }

    /// The version of the login that the commit replaces. If it has been found expired since, only this transaction can
    /// report that.
    pub fn replaced(&self) -> Option<i64> {
        let version = *self.replaced.last()?;
        (self.committed != Some(Some(version))).then_some(version)
    }

    /// The origin of the committed row; `None` if that is a new login.
    pub fn committed_origin(&self) -> Option<(Key, i64)> {
        let origin = self.origin.last()?;
        self.committed.flatten().filter(|version| *version >= origin.from)?;
        origin.login
    }

    /// Notes the word that the committed row's origin ended with.
    pub fn set_origin_word(&mut self, word: Option<Word>) {
        self.derived = self.committed.flatten().zip(word);
    }

    /// How the transaction ended for the session.
    pub fn outcome(&self, committed: bool) -> Outcome {
        if !committed {
            return Outcome::Aborted;
        }
        let is_closed = match (self.change, self.committed) {
            (Change::Closed, None) => true,
            // A session without a row that was only logged in, and that rolled back, was never there.
            (Change::Closed | Change::Written, Some(None)) => self.was_closed,
            (Change::Closed | Change::Written, Some(Some(_))) => false,
            (Change::Written, None) => false,
            (Change::None | Change::Expired, _) => false,
        };
        if is_closed { Outcome::Closed } else { Outcome::Committed }
    }

    /// The notes that count. `checks_count`: no request was judged by what was rolled back.
    pub fn entry_update(&self, committed: bool, checks_count: bool) -> EntryUpdate {
        if !checks_count {
            return EntryUpdate::default();
        }
        let counts = |row: &Row| match self.committed {
            _ if !committed => self.own_from.is_none_or(|from| row.version < from),
            None => true,
            Some(version) => version.is_some_and(|version| self.is_same_login(row.version, version)),
        };
        // Under the version by which others will find the row.
        let as_committed = |row: &Row| Row {
            version: self.committed.flatten().unwrap_or(row.version),
            ..*row
        };
        EntryUpdate {
            touch: self
                .touches
                .newest(|(row, _)| counts(row))
                .map(|(row, now)| (as_committed(row), *now)),
            expired: self
                .expired
                .newest(|(row, _)| counts(row))
                .map(|(row, expiry)| (as_committed(row), *expiry)),
            derived: self.derived.filter(|_| committed),
        }
    }

    /// Whether a row of this version is of the login that is committed.
    fn is_same_login(&self, version: i64, committed: i64) -> bool {
        let goes_on = |origin: &Origin| match origin.login {
            Some(login) => login == (self.key, version) || version >= origin.from,
            None => version >= origin.from,
        };
        version == committed
            || self
                .origin
                .last()
                .is_some_and(|origin| origin.login.is_some() && origin.from <= committed && goes_on(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{at, key, row};
    use super::*;

    const FIRST: i64 = 1;

    fn update_of(notes: &mut SessionNotes, committed: Committed) -> EntryUpdate {
        notes.set_committed(committed);
        notes.entry_update(true, true)
    }

    #[test]
    fn a_touch_before_a_change_of_limits_counts_for_the_committed_version() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Written);
        notes.touch(1, row(FIRST, at(0)), at(10));
        notes.derive(1, 5, Some((key(1), FIRST)));
        let touch = update_of(&mut notes, Some(5)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (5, at(10)));
        assert_eq!(notes.committed_origin(), Some((key(1), FIRST)));
    }

    #[test]
    fn a_touch_before_a_new_login_does_not_count_for_it() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Written);
        notes.touch(1, row(FIRST, at(0)), at(10));
        notes.derive(1, 5, None);
        assert!(update_of(&mut notes, Some(5)).touch.is_none());
        assert_eq!(notes.committed_origin(), None);
    }

    #[test]
    fn a_rollback_to_a_savepoint_leaves_what_was_noted_before_it() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Written);
        notes.touch(1, row(FIRST, at(0)), at(10));
        notes.set_change(Change::Closed);
        notes.derive(3, 5, Some((key(2), 4)));
        notes.touch(3, row(5, at(0)), at(20));
        notes.roll_back(3, true);
        let touch = update_of(&mut notes, Some(FIRST)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
        assert_eq!(notes.outcome(true), Outcome::Committed);
        assert_eq!(notes.committed_origin(), None);
    }

    #[test]
    fn checks_judged_by_what_was_rolled_back_do_not_count() {
        let mut notes = SessionNotes::new(key(1));
        notes.touch(1, row(FIRST, at(0)), at(10));
        notes.touch(3, row(FIRST, at(0)), at(20));
        notes.expire(3, row(FIRST, at(0)), Expiry::Idle);
        notes.roll_back(3, false);
        let update = notes.entry_update(true, true);
        assert_eq!(update.touch.map(|(_, now)| now), Some(at(10)));
        assert!(update.expired.is_none());
        assert!(notes.entry_update(false, false).touch.is_none());
    }

    #[test]
    fn after_an_abort_only_checks_of_rows_from_before_count() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Written);
        notes.touch(1, row(FIRST, at(0)), at(10));
        notes.derive(2, 5, Some((key(1), FIRST)));
        notes.touch(2, row(5, at(0)), at(20));
        let touch = notes.entry_update(false, true).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
    }

    #[test]
    fn a_session_that_was_rotated_has_the_origin_that_others_know() {
        let mut second = SessionNotes::new(key(2));
        second.derive(1, 5, Some((key(1), FIRST)));
        assert_eq!(second.origin_of(5), (key(1), FIRST));
        assert_eq!(second.origin_of(4), (key(2), 4));
    }

    #[test]
    fn a_session_without_a_row_was_closed_whatever_was_noted_last() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Closed);
        notes.set_change(Change::Written);
        assert!(notes.is_in_doubt(true));
        notes.set_committed(None);
        assert_eq!(notes.outcome(true), Outcome::Closed);
        notes.set_change(Change::Expired);
        assert_eq!(notes.outcome(true), Outcome::Committed);
    }

    #[test]
    fn a_login_that_was_rolled_back_to_a_savepoint_was_not_closed() {
        let mut notes = SessionNotes::new(key(1));
        notes.set_change(Change::Written);
        notes.roll_back(2, true);
        notes.set_committed(None);
        assert_eq!(notes.outcome(true), Outcome::Committed);
    }

    #[test]
    fn a_login_is_replaced_unless_that_was_rolled_back() {
        let mut notes = SessionNotes::new(key(1));
        notes.replace(3, FIRST);
        notes.replace(3, 5);
        notes.set_committed(Some(5));
        assert_eq!(notes.replaced(), Some(FIRST));
        notes.roll_back(3, true);
        assert_eq!(notes.replaced(), None);
    }
}
