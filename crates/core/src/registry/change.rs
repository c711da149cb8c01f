//! What a transaction notes of a session that it changed, and what of that counts at its end.
//!
//! Versions say which row a note is about. A rollback to a savepoint may take a row back with its version, so what counts
//! goes by the version that is committed: the transaction looks at the row before it commits. Versions that a transaction
//! itself gives are greater than all that were there, and are no other's.

use super::{Estate, Flux, Key, Outcome, Row, Word};
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
struct Lineage {
    /// The opening as others see it, whose activity and mark are its own; `None`: it is an opening of its own.
    root: Option<(Key, i64)>,
    /// The first version of it.
    from: i64,
}

/// A row as it will be committed: which version, `None` where there will be none.
pub type Committed = Option<i64>;

/// One session that a transaction changed, or checked while it had changed what bears on it.
#[derive(Debug)]
pub struct Changed {
    key: Key,
    change: Change,
    /// It was closed at some time, whatever came after that.
    was_closed: bool,
    /// While its commit is under way.
    pub flux: Option<Flux>,
    /// Requests that counted, with the row that each was judged by.
    touches: Savepoints<(Row, Timestamp)>,
    /// What checks have found, likewise.
    found: Savepoints<(Row, Expiry)>,
    lineage: Savepoints<Lineage>,
    /// The first version that the transaction gave.
    own_from: Option<i64>,
    /// The opening that it replaced, as nobody had found it expired yet.
    replaced: Savepoints<i64>,
    committed: Option<Committed>,
    heritage: Option<(i64, Word)>,
}

impl Changed {
    /// Nothing is noted yet.
    pub fn new(key: Key) -> Self {
        Self {
            key,
            change: Change::None,
            was_closed: false,
            flux: None,
            touches: Savepoints::default(),
            found: Savepoints::default(),
            lineage: Savepoints::default(),
            own_from: None,
            replaced: Savepoints::default(),
            committed: None,
            heritage: None,
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
    pub fn find(&mut self, subtransaction: u32, row: Row, expiry: Expiry) {
        self.found.set(subtransaction, (row, expiry));
    }

    /// What the transaction itself knows of this opening that nobody else does.
    pub fn known(&self, version: i64) -> (Option<Timestamp>, Option<Expiry>) {
        let touch = self.touches.newest(|(row, _)| row.version == version);
        let found = self.found.newest(|(row, _)| row.version == version);
        (touch.map(|(_, now)| *now), found.map(|(_, expiry)| *expiry))
    }

    /// The row gets this version, which goes on an opening as others see it, or is one of its own.
    pub fn descend(&mut self, subtransaction: u32, version: i64, root: Option<(Key, i64)>) {
        self.own_from.get_or_insert(version);
        if self.lineage.last().and_then(|lineage| lineage.root) != root {
            self.lineage.set(subtransaction, Lineage { root, from: version });
        }
    }

    /// What others know the opening of this version as.
    pub fn root_of(&self, version: i64) -> (Key, i64) {
        match self.lineage.last() {
            Some(Lineage { root: Some(root), from }) if *from <= version => *root,
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
        self.lineage.roll_back(subtransaction);
        self.replaced.roll_back(subtransaction);
        if !keep_checks {
            self.touches.roll_back(subtransaction);
            self.found.roll_back(subtransaction);
        }
    }

    /// Whether the row has to be looked at before the commit. `rolled_back`: some of the transaction was.
    pub fn is_in_doubt(&self, rolled_back: bool) -> bool {
        let has_notes = self.touches.last().is_some()
            || self.found.last().is_some()
            || self.lineage.last().is_some()
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
    pub fn heir_of(&self) -> Option<(Key, i64)> {
        let lineage = self.lineage.last()?;
        self.committed.flatten().filter(|version| *version >= lineage.from)?;
        lineage.root
    }

    /// What that opening came to.
    pub fn inherit(&mut self, word: Option<Word>) {
        self.heritage = self.committed.flatten().zip(word);
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
    pub fn estate(&self, committed: bool, checks_count: bool) -> Estate {
        if !checks_count {
            return Estate::default();
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
        Estate {
            touch: self
                .touches
                .newest(|(row, _)| counts(row))
                .map(|(row, now)| (as_committed(row), *now)),
            found: self
                .found
                .newest(|(row, _)| counts(row))
                .map(|(row, expiry)| (as_committed(row), *expiry)),
            heritage: self.heritage.filter(|_| committed),
        }
    }

    /// Whether a row of this version was the opening that is committed.
    fn is_same_opening(&self, version: i64, committed: i64) -> bool {
        let goes_on = |lineage: &Lineage| match lineage.root {
            Some(root) => root == (self.key, version) || version >= lineage.from,
            None => version >= lineage.from,
        };
        version == committed
            || self
                .lineage
                .last()
                .is_some_and(|lineage| lineage.root.is_some() && lineage.from <= committed && goes_on(lineage))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, key, row};
    use super::*;

    const FIRST: i64 = 1;

    fn estate_of(changed: &mut Changed, committed: Committed) -> Estate {
        changed.set_committed(committed);
        changed.estate(true, true)
    }

    #[test]
    fn a_touch_before_the_limits_changed_counts_for_the_version_that_is_committed() {
        let mut changed = Changed::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.descend(1, 5, Some((key(1), FIRST)));
        let touch = estate_of(&mut changed, Some(5)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (5, at(10)));
        assert_eq!(changed.heir_of(), Some((key(1), FIRST)));
    }

    #[test]
    fn a_touch_before_the_session_was_opened_again_does_not() {
        let mut changed = Changed::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.descend(1, 5, None);
        assert!(estate_of(&mut changed, Some(5)).touch.is_none());
        assert_eq!(changed.heir_of(), None);
    }

    #[test]
    fn what_was_changed_after_a_savepoint_and_rolled_back_leaves_what_was_before() {
        let mut changed = Changed::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.set_change(Change::Closed);
        changed.descend(3, 5, Some((key(2), 4)));
        changed.touch(3, row(5, at(0)), at(20));
        changed.roll_back(3, true);
        let touch = estate_of(&mut changed, Some(FIRST)).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
        assert_eq!(changed.outcome(true), Outcome::Committed);
        assert_eq!(changed.heir_of(), None);
    }

    #[test]
    fn checks_by_what_was_rolled_back_do_not_count() {
        let mut changed = Changed::new(key(1));
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.touch(3, row(FIRST, at(0)), at(20));
        changed.find(3, row(FIRST, at(0)), Expiry::Idle);
        changed.roll_back(3, false);
        let estate = changed.estate(true, true);
        assert_eq!(estate.touch.map(|(_, now)| now), Some(at(10)));
        assert!(estate.found.is_none());
        assert!(changed.estate(false, false).touch.is_none());
    }

    #[test]
    fn after_a_rollback_only_checks_of_rows_that_were_there_before_count() {
        let mut changed = Changed::new(key(1));
        changed.set_change(Change::Written);
        changed.touch(1, row(FIRST, at(0)), at(10));
        changed.descend(2, 5, Some((key(1), FIRST)));
        changed.touch(2, row(5, at(0)), at(20));
        let touch = changed.estate(false, true).touch.expect("a touch");
        assert_eq!((touch.0.version, touch.1), (FIRST, at(10)));
    }

    #[test]
    fn a_session_that_went_through_several_rotations_goes_on_the_one_that_others_know() {
        let mut second = Changed::new(key(2));
        second.descend(1, 5, Some((key(1), FIRST)));
        assert_eq!(second.root_of(5), (key(1), FIRST));
        assert_eq!(second.root_of(4), (key(2), 4));
    }

    #[test]
    fn a_row_that_is_gone_was_closed_whatever_was_noted_last() {
        let mut changed = Changed::new(key(1));
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
        let mut changed = Changed::new(key(1));
        changed.set_change(Change::Written);
        changed.roll_back(2, true);
        changed.set_committed(None);
        assert_eq!(changed.outcome(true), Outcome::Committed);
    }

    #[test]
    fn an_opening_is_replaced_unless_that_was_rolled_back() {
        let mut changed = Changed::new(key(1));
        changed.replace(3, FIRST);
        changed.replace(3, 5);
        changed.set_committed(Some(5));
        assert_eq!(changed.replaced(), Some(FIRST));
        changed.roll_back(3, true);
        assert_eq!(changed.replaced(), None);
    }
}
