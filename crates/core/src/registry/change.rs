//! What a transaction notes of a session that it changed, and what of that counts at its end.
//!
//! Versions say which row a note is about. A rollback to a savepoint may take a row back with its version, so what counts
//! goes by the version that is committed: the transaction looks at the row before it commits. Versions that a transaction
//! itself gives are greater than all that were there, and are no other's.

use super::{EntryUpdate, Invalidation, Key, Outcome, Row, Word};
use crate::savepoints::Savepoints;
use crate::time::Timestamp;
use crate::verdict::Expiry;

/// What happened to a session in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: only its checks are to follow.
    None,
    /// It was opened, moved, or its row changed.
    Written,
    /// It was closed: its row is gone.
    Closed,
    /// It was found expired: its row is gone.
    Expired,
}

/// Which opening the versions that the transaction gives go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// The opening as others see it, whose activity and mark are its own; `None`: it is an opening of its own.
    root: Option<(Key, i64)>,
    /// The first version of it.
    from: i64,
}

/// A row as it will be committed: which version, `None` where there will be none.
pub type Committed = Option<i64>;

/// One session that a transaction changed, or checked while it had changed what bears on it.
#[derive(Debug)]
pub struct SessionNotes {
    key: Key,
    change: Change,
    /// It was closed at some time, whatever came after that.
    was_closed: bool,
    /// While its commit is under way.
    pub invalidation: Option<Invalidation>,
    /// Requests that counted, with the row that each was judged by.
    touches: Savepoints<(Row, Timestamp)>,
    /// What checks have found, likewise.
    expired: Savepoints<(Row, Expiry)>,
    origin: Savepoints<Origin>,
    /// The first version that the transaction gave.
    own_from: Option<i64>,
    /// The opening that it replaced, as nobody had found it expired yet.
    replaced: Savepoints<i64>,
    committed: Option<Committed>,
    derived: Option<(i64, Word)>,
}

impl SessionNotes {
    /// Nothing is noted yet.
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

    /// Something happens to it.
    pub fn set_change(&mut self, change: Change) {
        self.change = change;
        self.was_closed |= change == Change::Closed;
    }

    /// A request counted.
    pub fn touch(&mut self, subtransaction: u32, row: Row, now: Timestamp) {
        self.touches.set(subtransaction, (row, now));
    }

    /// A check found it expired.
    pub fn expire(&mut self, subtransaction: u32, row: Row, expiry: Expiry) {
        self.expired.set(subtransaction, (row, expiry));
    }

    /// What the transaction itself knows of this opening that nobody else does.
    pub fn known(&self, version: i64) -> (Option<Timestamp>, Option<Expiry>) {
        let touch = self.touches.newest(|(row, _)| row.version == version);
        let expired = self.expired.newest(|(row, _)| row.version == version);
        (touch.map(|(_, now)| *now), expired.map(|(_, expiry)| *expiry))
    }

    /// The row gets this version, which goes on an opening as others see it, or is one of its own.
    pub fn derive(&mut self, subtransaction: u32, version: i64, root: Option<(Key, i64)>) {
        self.own_from.get_or_insert(version);
        if self.origin.last().and_then(|origin| origin.root) != root {
            self.origin.set(subtransaction, Origin { root, from: version });
        }
    }

    /// What others know the opening of this version as.
    pub fn origin_of(&self, version: i64) -> (Key, i64) {
        match self.origin.last() {
            Some(Origin { root: Some(root), from }) if *from <= version => *root,
            _ => (self.key, version),
        }
    }

    /// The row of this version becomes another opening's.
    pub fn replace(&mut self, subtransaction: u32, version: i64) {
        if self.replaced.last().is_none() {
            self.replaced.set(subtransaction, version);
        }
    }

    /// A rollback to a savepoint. `keep_checks` where what they were judged by has not been changed.
    pub fn roll_back(&mut self, subtransaction: u32, keep_checks: bool) {
        self.origin.roll_back(subtransaction);
        self.replaced.roll_back(subtransaction);
        if !keep_checks {
            self.touches.roll_back(subtransaction);
            self.expired.roll_back(subtransaction);
        }
    }

    /// Whether the row has to be looked at before the commit. `rolled_back`: some of the transaction was.
    pub fn is_in_doubt(&self, rolled_back: bool) -> bool {
        let has_notes = self.touches.last().is_some()
            || self.expired.last().is_some()
            || self.origin.last().is_some()
            || self.replaced.last().is_some();
        self.change != Change::None && (rolled_back || has_notes)
    }

    /// How the row will be committed.
    pub fn set_committed(&mut self, committed: Committed) {
        self.committed = Some(committed);
    }

    /// The opening that will be gone with the commit, and nobody will have told of, should it have been found expired.
    pub fn replaced(&self) -> Option<i64> {
        let version = *self.replaced.last()?;
        (self.committed != Some(Some(version))).then_some(version)
    }

    /// The opening as others see it which the committed row goes on.
    pub fn committed_origin(&self) -> Option<(Key, i64)> {
        let origin = self.origin.last()?;
        self.committed.flatten().filter(|version| *version >= origin.from)?;
        origin.root
    }

    /// What that opening came to.
    pub fn set_origin_word(&mut self, word: Option<Word>) {
        self.derived = self.committed.flatten().zip(word);
    }

    /// What happened to it, all told.
    pub fn outcome(&self, committed: bool) -> Outcome {
        match (self.change, self.committed) {
            _ if !committed => Outcome::Aborted,
            (Change::Closed, None) => Outcome::Closed,
            // One that was only opened, and that rolled back, was never there.
            (Change::Closed | Change::Written, Some(None)) if self.was_closed => Outcome::Closed,
            _ => Outcome::Committed,
        }
    }

    /// What of the notes counts. `checks_count` where a request was not judged by what was rolled back.
    pub fn entry_update(&self, committed: bool, checks_count: bool) -> EntryUpdate {
        if !checks_count {
            return EntryUpdate::default();
        }
        let counts = |row: &Row| match self.committed {
            _ if !committed => self.own_from.is_none_or(|from| row.version < from),
            None => true,
            Some(version) => version.is_some_and(|version| self.is_same_opening(row.version, version)),
        };
        // In the version that it will be found by.
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

    /// Whether a row of this version was the opening that is committed.
    fn is_same_opening(&self, version: i64, committed: i64) -> bool {
        let goes_on = |origin: &Origin| match origin.root {
            Some(root) => root == (self.key, version) || version >= origin.from,
            None => version >= origin.from,
        };
        version == committed
            || self
                .origin
                .last()
                .is_some_and(|origin| origin.root.is_some() && origin.from <= committed && goes_on(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, key, row};
    use super::*;

    const FIRST: i64 = 1;

    fn update_of(changed: &mut SessionNotes, committed: Committed) -> EntryUpdate {
        changed.set_committed(committed);
        changed.entry_update(true, true)
    }

    #[test]
    fn a_touch_before_the_limits_changed_counts_for_the_version_that_is_committed() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.derive(1, 5, Some((key(1), FIRST)));
        let touch = update_of(&mut changed, Some(5)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (5, at(10)));
        assert_eq!(changed.committed_origin(), Some((key(1), FIRST)));
    }

    #[test]
    fn a_touch_before_the_session_was_opened_again_does_not() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.derive(1, 5, None);
        assert!(update_of(&mut changed, Some(5)).touch.is_none());
        assert_eq!(changed.committed_origin(), None);
    }

    #[test]
    fn what_was_changed_after_a_savepoint_and_rolled_back_leaves_what_was_before() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.set_change(Change::Closed);
        changed.derive(3, 5, Some((key(2), 4)));
        changed.touch(3, row(5, at(0)), at(20));
        changed.roll_back(3, true);
        let touch = update_of(&mut changed, Some(FIRST)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
        assert_eq!(changed.outcome(true), Outcome::Committed);
        assert_eq!(changed.committed_origin(), None);
    }

    #[test]
    fn checks_by_what_was_rolled_back_do_not_count() {
        let mut changed = SessionNotes::new(key(1));
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.touch(3, row(FIRST, at(0)), at(20));
        changed.expire(3, row(FIRST, at(0)), Expiry::Idle);
        changed.roll_back(3, false);
        let update = changed.entry_update(true, true);
        assert_eq!(update.touch.map(|(_, now)| now), Some(at(10)));
        assert!(update.expired.is_none());
        assert!(changed.entry_update(false, false).touch.is_none());
    }

    #[test]
    fn after_a_rollback_only_checks_of_rows_that_were_there_before_count() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.derive(2, 5, Some((key(1), FIRST)));
        changed.touch(2, row(5, at(0)), at(20));
        let touch = changed.entry_update(false, true).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
    }

    #[test]
    fn a_session_that_went_through_several_rotations_goes_on_the_one_that_others_know() {
        let mut second = SessionNotes::new(key(2));
        second.derive(1, 5, Some((key(1), FIRST)));
        assert_eq!(second.origin_of(5), (key(1), FIRST));
        assert_eq!(second.origin_of(4), (key(2), 4));
    }

    #[test]
    fn a_row_that_is_gone_was_closed_whatever_was_noted_last() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Closed);
        changed.set_change(Change::Written);
        assert!(changed.is_in_doubt(true));
        changed.set_committed(None);
        assert_eq!(changed.outcome(true), Outcome::Closed);
        changed.set_change(Change::Expired);
        assert_eq!(changed.outcome(true), Outcome::Committed);
    }

    #[test]
    fn what_was_opened_and_rolled_back_to_a_savepoint_was_not_closed() {
        let mut changed = SessionNotes::new(key(1));
        changed.set_change(Change::Written);
        changed.roll_back(2, true);
        changed.set_committed(None);
        assert_eq!(changed.outcome(true), Outcome::Committed);
    }

    #[test]
    fn an_opening_is_replaced_unless_that_was_rolled_back() {
        let mut changed = SessionNotes::new(key(1));
        changed.replace(3, FIRST);
        changed.replace(3, 5);
        changed.set_committed(Some(5));
        assert_eq!(changed.replaced(), Some(FIRST));
        changed.roll_back(3, true);
        assert_eq!(changed.replaced(), None);
    }
}
