//! What the maintenance worker does with the entries: it scans for those that are dirty or expired, reports what it has
//! written to rows and deleted, and removes the entries of what was dropped.
//!
//! A scan goes once around all partitions, in batches, each of them under the shared lock of one partition, and looks at the
//! entries on the partition's [worklist] alone. So what it costs depends on how many entries are dirty or expired, and not on
//! how many there are. An entry stays in its slot as long as it lives, so a scan finds every entry that is there from its
//! beginning to its end.

use super::entry::{EntryFilter, EntryView};
use super::handle::Registry;
use super::key::Key;
use super::locks::Locks;
use super::worklist;
use crate::time::Timestamp;

/// Where a scan is on its way once around all slots.
#[derive(Clone, Copy, Debug)]
pub struct ScanCursor {
    slot: usize,
    left: usize,
}

impl ScanCursor {
    /// Whether the scan has been once around.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// The slot at which the scan continues.
    #[must_use]
    pub fn slot(&self) -> usize {
        self.slot
    }
}

impl<'m, L: Locks> Registry<'m, L> {
    /// A scan of all slots that begins at this one.
    pub fn scan(&self, from: usize) -> ScanCursor {
        let slots = self.table.partitions() * self.table.slots_per_partition();
        ScanCursor {
            slot: from % slots,
            left: slots,
        }
    }

    /// Continues a scan, to the end of a partition at most. Collects entries of a database's table that pass the filter, until
    /// `found` is full. Shared lock.
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
            let list = self.table.worklist(partition, filter);
            let tag = worklist::tag(database);
            let mut from = first as u32;
            while let Some(slot) = list.next(from, tag).filter(|slot| (*slot as usize) < end) {
                from = slot + 1;
                let entry = self.table.entry(partition, slot);
                if !entry.is_used() || !entry.passes(filter.listed_as()) {
                    self.table.unlist(partition, &entry, filter.listed_as());
                } else if entry.belongs_to(database, Some(table)) && entry.passes(filter) {
                    if found.len() == found.capacity() {
                        return slot as usize;
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

    /// The row of this login has been flushed, and that has committed: it has at least this activity. Returns whether there is
    /// newer activity by now: the touch that wrote it did not see that it made the entry dirty. Shared lock.
    #[must_use = "activity that nobody else will report"]
    pub fn flushed(&self, key: &Key, version: i64, activity: Timestamp) -> bool {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key).filter(|entry| entry.version() == version);
            let Some(entry) = entry else {
                // It was displaced. A row that was read before the flush must not be loaded.
                self.table.bump_generation(place.partition);
                return false;
            };
            entry.flushed(activity);
            self.table.unlist(place.partition, &entry, EntryFilter::Dirty);
            entry.passes(EntryFilter::Dirty)
        })
    }

    /// The row of this login is gone, or belongs to another login, and that has committed. Exclusive lock.
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

    /// A database with entries that is not one of `known`. Shared locks, one after the other.
    pub fn database_other_than(&self, known: &[u32]) -> Option<u32> {
        (0..self.table.partitions()).find_map(|partition| {
            self.locks.shared(partition, || {
                let mut databases = self.table.entries(partition).map(|entry| entry.database());
                databases.find(|database| !known.contains(database))
            })
        })
    }

    /// A table of this database with entries that is not one of `known`. Shared locks, one after the other.
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

    /// Removes the entries of a database that was dropped, or of one table of it. Exclusive locks, one after the other.
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
}
