//! A change of a session, from just before its commit to the end of its transaction.

use super::table::Room;
use super::{Key, Locks, Registry, Row, Word};
use crate::time::Timestamp;
use crate::verdict::Expiry;

/// A session in flux, to be given back to [`Registry::end_flux`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flux {
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
pub struct Estate {
    /// The newest request that counted in that transaction, with the row that it was judged by.
    pub touch: Option<(Row, Timestamp)>,
    /// What that transaction found it to be, with the row that it was judged by and the activity that was known then.
    pub found: Option<(Row, Expiry)>,
    /// The version that was committed, with the word of the opening that it goes on.
    pub heritage: Option<(i64, Word)>,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Before a transaction that changed the session commits. Exclusive lock.
    pub fn begin_flux(&self, key: &Key) -> Flux {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key).or_else(|| {
                let placeholder = self.insert(place, key, Room::All)?;
                placeholder.hold_place();
                Some(placeholder)
            });
            match entry {
                Some(entry) => {
                    entry.add_flux();
                    Flux::Entry(entry.version())
                }
                None => {
                    self.table.add_absent_flux(place.partition);
                    Flux::Absent
                }
            }
        })
    }

    /// After it has committed or aborted; `flux` is `None` where it never got to [`Registry::begin_flux`]. Exclusive lock.
    pub fn end_flux(&self, key: &Key, flux: Option<Flux>, outcome: Outcome, estate: Estate) {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            self.table.bump_generation(place.partition);
            if flux == Some(Flux::Absent) {
                self.table.remove_absent_flux(place.partition);
            }
            let Some(entry) = self.table.find(place, key) else {
                return;
            };
            if let Some(Flux::Entry(_)) = flux {
                entry.remove_flux();
            }
            entry.set_unverified();
            // Unless another transaction has been quicker to open it again.
            if outcome == Outcome::Closed && flux == Some(Flux::Entry(entry.version())) {
                entry.set_closed();
            }
            if let Some((version, word)) = estate.heritage
                && entry.version() < version
            {
                entry.inherit(version, word);
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
            if let Some((row, now)) = estate.touch
                && make_of(&row, is_committed)
            {
                entry.touch(now);
            }
            // What is found in a transaction that is rolled back was found on a row that others see. A touch that came since
            // is judged by the next check.
            if let Some((row, expiry)) = estate.found
                && make_of(&row, is_committed || !entry.is_in_flux() || entry.is_placeholder())
                && entry.word().activity() <= row.session.last_activity
            {
                entry.mark(expiry);
            }
        });
    }

    /// This opening is over, by a commit that is about to return: what it came to. No touch or mark gets into it any more.
    /// Exclusive lock.
    pub fn seal(&self, key: &Key, version: i64) -> Option<Word> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            if entry.is_placeholder() {
                // Nothing is known of this opening, and a row that was read before is not to make it known any more.
                entry.hold_place_of(version);
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
