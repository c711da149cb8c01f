//! A change of a session, from just before its commit to the end of its transaction.

use super::table::Reserve;
use super::{Key, Locks, Registry, Row, Word};
use crate::time::Timestamp;
use crate::verdict::Expiry;

/// A session in flux, to be given back to [`Registry::end_invalidation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// Its entry, which was this opening's, counts it: one that was made for this, where it had none.
    Entry(i64),
    /// There was no room for an entry: its partition counts it, and takes no loads meanwhile.
    Absent,
}

/// How a transaction that changed a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Rolled back.
    Aborted,
    /// Committed; the change may be any.
    Committed,
    /// Committed, and the session was closed.
    Closed,
}

/// What a transaction that is over leaves to the entry of a session that it changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryUpdate {
    /// The newest request that counted in that transaction, with the row that it was judged by.
    pub touch: Option<(Row, Timestamp)>,
    /// What that transaction found it to be, with the row that it was judged by and the activity that was known then.
    pub expired: Option<(Row, Expiry)>,
    /// The version that was committed, with the word of the opening that it goes on.
    pub derived: Option<(i64, Word)>,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Before a transaction that changed the session commits. Exclusive lock.
    pub fn begin_invalidation(&self, key: &Key) -> Invalidation {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key).or_else(|| {
                let placeholder = self.insert(place, key, Reserve::Use)?;
                placeholder.make_placeholder();
                Some(placeholder)
            });
            match entry {
                Some(entry) => {
                    entry.begin_invalidation();
                    Invalidation::Entry(entry.version())
                }
                None => {
                    self.table.add_absent_invalidation(place.partition);
                    Invalidation::Absent
                }
            }
        })
    }

    /// After it has committed or aborted; `flux` is `None` where it never got to [`Registry::begin_invalidation`]. Exclusive lock.
    pub fn end_invalidation(
        &self,
        key: &Key,
        invalidation: Option<Invalidation>,
        outcome: Outcome,
        update: EntryUpdate,
    ) {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            self.table.bump_generation(place.partition);
            if invalidation == Some(Invalidation::Absent) {
                self.table.remove_absent_invalidation(place.partition);
            }
            let Some(entry) = self.table.find(place, key) else {
                return;
            };
            if let Some(Invalidation::Entry(_)) = invalidation {
                entry.end_invalidation();
            }
            entry.set_unverified();
            // Unless another transaction has been quicker to open it again.
            if outcome == Outcome::Closed && invalidation == Some(Invalidation::Entry(entry.version())) {
                entry.set_closed();
            }
            if let Some((version, word)) = update.derived
                && entry.version() < version
            {
                entry.derive(version, word);
            }
            // The transaction's own row, if that is what was committed: whether it is, the next load tells.
            let make_of = |row: &Row, may: bool| {
                if may && entry.version() < row.version {
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                }
                entry.version() == row.version
            };
            let is_committed = outcome == Outcome::Committed;
            if let Some((row, now)) = update.touch
                && make_of(&row, is_committed)
            {
                entry.touch(now);
            }
            // What is found in a transaction that is rolled back was found on a row that others see. A touch that came since
            // is judged by the next check.
            if let Some((row, expiry)) = update.expired
                && make_of(&row, is_committed || !entry.is_invalidating() || entry.is_placeholder())
                && entry.word().activity() <= row.session.last_activity
            {
                entry.set_expired(expiry);
            }
        });
    }

    /// This opening is over, by a commit that is about to return: what it came to. No touch or mark gets into it any more.
    /// Exclusive lock.
    pub fn retire(&self, key: &Key, version: i64) -> Option<Word> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            if entry.is_placeholder() {
                // Nothing is known of this opening, and a row that was read before is not to make it known any more.
                entry.set_placeholder_version(version);
                entry.set_closed();
                return None;
            }
            if entry.version() != version {
                return None;
            }
            entry.set_closed();
            Some(entry.word())
        })
    }

    /// After a change that may be of any session of a database, in whichever table: all its entries become unverified.
    /// Exclusive locks, one after the other.
    pub fn unverify_all(&self, database: u32) {
        for partition in 0..self.table.partitions() {
            self.locks.exclusive(partition, || {
                self.table.bump_generation(partition);
                for entry in self.table.entries(partition) {
                    if entry.belongs_to(database, None) {
                        entry.set_unverified();
                    }
                }
            });
        }
    }
}
