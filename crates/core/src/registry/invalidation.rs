//! A change of a session in the registry, from just before its transaction commits until the transaction has ended.
//!
//! - **Begin** ([`Registry::begin_invalidation`]): the entry's count of invalidations goes up, so checks read the row. If the
//!   session has no entry, a placeholder is made for it, in the reserve if need be. If there is no room for that, the
//!   partition counts the session, and loads nothing while that count is above 0.
//! - **Retire** ([`Registry::retire`]), before any invalidation of the transaction ends: a login that a committed version
//!   continues (after a rotation, or a change of limits) is closed in its entry, and the word that it ended with is returned.
//!   A placeholder becomes one for that login. No touch and no expiry gets into it any more. The end of the successor's
//!   invalidation writes that word to the successor's entry.
//! - **End** ([`Registry::end_invalidation`]): the generation goes up, the count goes down, and the entry becomes unverified.
//!   If the transaction committed the end of the login, and nobody has logged in again since, the entry becomes closed.
//!   Then the [`EntryUpdate`] is applied.
//!
//! Several transactions may invalidate one session at the same time: it is a count.
//!
//! If a transaction has changed more sessions than it can list, its caller counts an invalidation of the whole database
//! instead, and ends it by [`Registry::unverify_all`].

use super::eviction::Reserve;
use super::handle::Registry;
use super::key::Key;
use super::locks::Locks;
use super::row::Row;
use super::word::Word;
use crate::time::Timestamp;
use crate::verdict::Expiry;

/// An invalidation that has begun, to be passed to [`Registry::end_invalidation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// The session's entry counts it. The entry had this version, that of a placeholder if it was made for this.
    Entry(i64),
    /// There was no room for an entry: the partition counts it, and loads nothing until it ends.
    Absent,
}

/// How a transaction that changed a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was rolled back.
    Aborted,
    /// It committed, with a change of any kind.
    Committed,
    /// It committed, and closed the session.
    Closed,
}

/// What the end of a transaction writes to the entry of a session that it has changed or checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryUpdate {
    /// The newest request of the transaction that counts, with the row by which it was judged.
    pub touch: Option<(Row, Timestamp)>,
    /// The limit that the transaction found passed, with the row by which it was judged, and its activity as it was known.
    pub expired: Option<(Row, Expiry)>,
    /// The committed version, with the word that its origin ended with.
    pub derived: Option<(i64, Word)>,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// A transaction that changed the session is about to commit. Exclusive lock.
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

    /// The transaction has committed or aborted. `invalidation` is `None` if it aborted before
    /// [`Registry::begin_invalidation`]. Exclusive lock.
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
            // Unless another transaction has logged the session in again meanwhile.
            if outcome == Outcome::Closed && invalidation == Some(Invalidation::Entry(entry.version())) {
                entry.set_closed();
            }
            if let Some((version, word)) = update.derived
                && entry.version() < version
            {
                entry.derive(version, word);
            }
            // If the entry may be one of the row that was judged, makes it that. The next load finds out whether this is the row
            // that was committed.
            let is_made_of = |row: &Row, may_be: bool| {
                if may_be && entry.version() < row.version {
                    entry.fill_unverified(row);
                }
                entry.version() == row.version
            };
            let is_committed = outcome == Outcome::Committed;
            if let Some((row, now)) = update.touch
                && is_made_of(&row, is_committed)
            {
                entry.touch(now);
            }
            // If the transaction was rolled back, it found this on a row that others see, too. If a touch has come since, the
            // next check judges it.
            if let Some((row, expiry)) = update.expired
                && is_made_of(&row, is_committed || !entry.is_invalidating() || entry.is_placeholder())
                && entry.word().activity() <= row.session.last_activity
            {
                entry.set_expired(expiry);
            }
            self.table.list(place.partition, &entry);
        });
    }

    /// This login is over, by a commit that is about to return. Returns the word that it ended with; no touch and no expiry
    /// gets into it any more. Exclusive lock.
    pub fn retire(&self, key: &Key, version: i64) -> Option<Word> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            if entry.is_placeholder() {
                // Nothing is known of this login. A row that was read before must not be recorded in it.
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

    /// Any session of a database may have changed, in whichever table: all its entries become unverified. Exclusive locks, one
    /// after the other.
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
