//! What the worker and the shutdown do with the entries: look for them, write them down, end them, take them in again.

use super::snapshot::SavedSession;
use super::table::{Entry, Reserve};
use super::{Key, Locks, Registry, Row, Word};
use crate::digest::Digest;
use crate::params::Params;
use crate::time::Timestamp;
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

/// An entry as a scan tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Whose it is.
    pub digest: Digest,
    /// Which opening.
    pub version: i64,
    /// Its activity.
    pub activity: Timestamp,
    /// Its mark, if it has one.
    pub expiry: Option<Expiry>,
}

/// Which entries a scan is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryFilter {
    /// Those with activity that the row does not know, and no mark.
    Dirty,
    /// Those with the expired flag.
    Expired,
    /// Every one.
    #[cfg(test)]
    Any,
}

/// A way once around the registry's slots.
#[derive(Clone, Copy, Debug)]
pub struct ScanCursor {
    slot: usize,
    left: usize,
}

impl ScanCursor {
    /// Whether it has come round.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The slot where it goes on.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }
}

/// What became of an attempt to mark a session that the purge found on its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpired {
    /// It is marked: no check says true of it any more.
    Yes(Expiry),
    /// It is valid after all.
    No,
    /// The row is not the newest, or is being replaced: look again.
    Over,
    /// There is no room for the mark.
    Full,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Marks a session that the purge, or a check that the row answered, found expired, so that no check lets it in from
    /// here on: also where it is in flux, for as long as its version stays. The newer of row and entry counts. `insist`
    /// where looking again has led to nothing. Exclusive lock.
    pub fn set_expired(&self, key: &Key, row: &Row, params: &Params, now: Timestamp, insist: bool) -> SetExpired {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                // Versions of one session only grow: a greater one than the row's means that the row is not the newest.
                Some(entry) if entry.version() > row.version => return SetExpired::Over,
                Some(entry) if entry.is_retired(row.version) => return SetExpired::Over,
                Some(entry) if entry.version() == row.version => entry,
                // The transaction that wrote the row is about to say what of the older opening goes on with it.
                Some(entry) if entry.is_invalidating() && !entry.is_placeholder() && !insist => {
                    return SetExpired::Over;
                }
                Some(entry) => {
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                    entry
                }
                None => {
                    let Some(entry) = self.insert(place, key, Reserve::Use) else {
                        return SetExpired::Full;
                    };
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                    entry
                }
            };
            judge_and_set_expired(&entry, row, params, now)
        })
    }

    /// As [`Registry::set_expired`], where the session has an entry of the row's version; `None` where it has none. For a row
    /// of which only that version is known to others. Exclusive lock.
    pub fn set_expired_if_known(&self, key: &Key, row: &Row, params: &Params, now: Timestamp) -> Option<SetExpired> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            (entry.version() == row.version && !entry.is_closed())
                .then(|| judge_and_set_expired(&entry, row, params, now))
        })
    }

    /// A way once around all slots, which begins at this one.
    pub fn scan(&self, from: usize) -> ScanCursor {
        let slots = self.table.partitions() * self.table.slots_per_partition();
        ScanCursor {
            slot: from % slots,
            left: slots,
        }
    }

    /// Goes on with a round, to the end of a partition at most, and collects entries of a database's table that `wanted` says
    /// yes to as far as `found` has room for them. An entry stays in its slot as long as it lives. Shared lock.
    pub fn collect(
        &self,
        cursor: &mut ScanCursor,
        database: u32,
        table: u32,
        filter: EntryFilter,
        found: &mut Vec<EntryView>,
    ) {
        let per_partition = self.table.slots_per_partition();
        let (partition, first) = (cursor.slot / per_partition, cursor.slot % per_partition);
        let end = per_partition.min(first + cursor.left);
        let stop = self.locks.shared(partition, || {
            for entry in self.table.entries_of(partition, first..end) {
                if entry.belongs_to(database, Some(table)) && entry.passes(filter) {
                    if found.len() == found.capacity() {
                        return entry.index as usize;
                    }
                    found.push(entry.view());
                }
            }
            end
        });
        cursor.left -= stop - first;
        cursor.slot += stop - first;
        if cursor.slot == self.table.partitions() * per_partition {
            cursor.slot = 0;
        }
    }

    /// The row of this opening now has at least this activity: committed. Whether there is newer activity by now, of which
    /// the touch that made it did not know that it was the first to. Shared lock.
    #[must_use = "activity that nobody else will tell of"]
    pub fn flushed(&self, key: &Key, version: i64, activity: Timestamp) -> bool {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key).filter(|entry| entry.version() == version);
            let Some(entry) = entry else {
                // It has made room for another database: a row that was read before the flush is not to be loaded.
                self.table.bump_generation(place.partition);
                return false;
            };
            entry.flushed(activity);
            entry.passes(EntryFilter::Dirty)
        })
    }

    /// The row of this opening is gone, or is another opening's: committed. Exclusive lock.
    pub fn ended(&self, key: &Key, version: i64) {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            self.table.bump_generation(place.partition);
            if let Some(entry) = self.table.find(place, key).filter(|entry| entry.version() == version) {
                if entry.is_invalidating() {
                    entry.set_unverified();
                } else {
                    self.table.remove(place, entry);
                }
            }
        });
    }

    /// A database that has entries and is none of these. Shared locks, one after the other.
    pub fn database_other_than(&self, known: &[u32]) -> Option<u32> {
        (0..self.table.partitions()).find_map(|partition| {
            self.locks.shared(partition, || {
                let mut databases = self.table.entries(partition).map(|entry| entry.database());
                databases.find(|database| !known.contains(database))
            })
        })
    }

    /// Forgets a database that is no more, or one table of it. Exclusive locks, one after the other.
    pub fn forget(&self, database: u32, table: Option<u32>) {
        for partition in 0..self.table.partitions() {
            self.locks.exclusive(partition, || {
                self.table.bump_generation(partition);
                self.table.remove_where(partition, |entry| {
                    entry.belongs_to(database, table) && !entry.is_invalidating()
                });
            });
        }
    }

    /// A table of this database that has entries and is none of these. Shared locks, one after the other.
    pub fn table_other_than(&self, database: u32, known: &[u32]) -> Option<u32> {
        (0..self.table.partitions()).find_map(|partition| {
            self.locks.shared(partition, || {
                let of_database = self
                    .table
                    .entries(partition)
                    .filter(|entry| entry.database() == database);
                let mut tables = of_database.map(|entry| entry.table());
                tables.find(|table| !known.contains(table))
            })
        })
    }

    /// What no row has: marked sessions first, since there may be less room where they are restored, and a mark lost lets a
    /// session live on; then dirty ones. Nobody else may use the registry meanwhile.
    pub fn unsaved(&self) -> impl Iterator<Item = SavedSession> + use<'m, L> {
        let table = self.table;
        [EntryFilter::Expired, EntryFilter::Dirty]
            .into_iter()
            .flat_map(move |filter| (0..table.partitions()).map(move |partition| (filter, partition)))
            .flat_map(move |(filter, partition)| table.entries(partition).filter(move |entry| entry.passes(filter)))
            .map(|entry| entry.saved())
    }

    /// Takes in what an earlier registry had unsaved: an unverified entry, which counts only where the row is of its
    /// version. Whether there was room. Exclusive lock.
    pub fn restore(&self, session: &SavedSession) -> bool {
        let key = session.key();
        let place = self.table.place(&key);
        self.locks.exclusive(place.partition, || {
            if self.table.find(place, &key).is_some() {
                return false;
            }
            let Some(entry) = self.insert(place, &key, session.reserve()) else {
                return false;
            };
            entry.restore(session);
            true
        })
    }

    /// Whether there is an entry for what an earlier registry had unsaved, so that its own is the newer. Shared lock.
    pub fn has_entry_for(&self, session: &SavedSession) -> bool {
        let key = session.key();
        let place = self.table.place(&key);
        self.locks
            .shared(place.partition, || self.table.find(place, &key).is_some())
    }
}

/// Marks an entry if the newer of it and its row is past a limit: a touch that came since the row was judged counts. Under
/// the exclusive lock.
fn judge_and_set_expired(entry: &Entry, row: &Row, params: &Params, now: Timestamp) -> SetExpired {
    if let Some(expiry) = entry.word().expiry() {
        return SetExpired::Yes(expiry);
    }
    let newest = Session {
        last_activity: entry.word().activity().max(row.session.last_activity),
        ..row.session
    };
    match judge(&newest, params, Request::Look, now) {
        Judgement::Expired(expiry) => {
            entry.set_expired(expiry);
            SetExpired::Yes(expiry)
        }
        Judgement::Valid { .. } => SetExpired::No,
    }
}
