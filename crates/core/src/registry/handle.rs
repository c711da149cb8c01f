//! The registry as its callers hold it: the table, and the locks that guard its partitions.

use std::sync::atomic::AtomicU32;

use super::entry::Entry;
use super::eviction::Reserve;
use super::key::Key;
use super::locks::Locks;
use super::memory::{Memory, Slot};
use super::table::{Place, Table};

/// The registry. Its operations are in `checks`, `expire`, `invalidation`, `sweep` and `save`, beside this module.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'m, L> {
    pub(super) table: Table<'m>,
    pub(super) locks: L,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// A registry over formatted memory, with as many locks as there are partitions.
    pub fn new(memory: Memory<'m>, locks: L) -> Self {
        Self {
            table: Table::new(memory),
            locks,
        }
    }

    /// Turns memory with any contents into an empty registry. Nobody else may use it at the same time.
    pub fn format(&self) {
        self.table.format();
    }

    /// The bucket in which a lookup begins, so that the caller can prefetch it. Takes no lock.
    pub fn bucket(&self, key: &Key) -> &'m AtomicU32 {
        self.table.bucket(self.table.place(key))
    }

    /// The slot that most probably holds the session, to be prefetched. Takes no lock.
    pub fn probable_slot(&self, key: &Key) -> Option<&'m Slot> {
        self.table.probable_slot(self.table.place(key))
    }

    /// A new entry, which the caller fills; `None` if there is no room. Under the exclusive lock.
    pub(super) fn insert(&self, place: Place, key: &Key, reserve: Reserve) -> Option<Entry<'m>> {
        self.table
            .insert(place, key, reserve, |displaced| self.locks.displaced(displaced))
    }

    /// How many entries are in use, and how many slots there are. Takes no lock: a figure for statistics.
    pub fn fill(&self) -> (usize, usize) {
        self.table.fill()
    }
}
