//! The live sessions, in memory that all backends share.
//!
//! Plain data and logic: memory and locks are handed in, time and rows too. See `docs/architecture.md` for the whole
//! protocol; in short:
//!
//! - A **check** finds its entry under the partition's shared lock, judges it, and touches it with one atomic maximum or
//!   marks it with one compare-and-exchange ([`word`]). It allocates nothing.
//! - An entry is a **copy of a row**, good as long as nobody has committed a change of that row. Whoever changes a row
//!   puts its entry *in flux* before committing ([`Registry::begin_invalidation`]: checks then ask the row) and makes it
//!   *unverified* afterwards ([`Registry::end_invalidation`]: the next check reads the row again). Activity is kept where the
//!   row's version is still the entry's.
//! - A **load** notes the partition's generation, reads the row, and inserts it only if the generation still stands:
//!   every end of a flux bumps it, so that no row read before a commit gets in after it. A session in flux that has no
//!   entry gets one for the purpose; where there is no room, the whole partition takes no loads for that moment.
//! - **Eviction** takes only what the row knows too: clean, unmarked, not in flux. Where all of a sample is dirty, a
//!   database that has clearly more of it than the one that needs room gives up an entry all the same ([`table`]): it
//!   loses activity, and its expiries are kept in another way ([`unrecorded`]).
//!
//! Locks: one partition's at a time, and nothing is called under it but what is in this module, and
//! [`Locks::displaced`].

pub mod change;
mod checks;
mod invalidation;
pub mod memory;
pub mod snapshot;
mod sweep;
mod table;
mod unrecorded;
pub mod word;

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU32;

use crate::digest::Digest;
use crate::verdict::{Expiry, Session};

pub use checks::{Checked, Held, Loaded, Missing, Ticket, Touched};
pub use invalidation::{EntryUpdate, Invalidation, Outcome};
pub use memory::{Layout, Memory, Partition, Slot};
pub use sweep::{EntryFilter, EntryView, ScanCursor, SetExpired};
use table::Table;
pub use unrecorded::{Unrecorded, UnrecordedLimits};
pub use word::Word;

/// An entry that its row does not know, and that makes room for a session of another database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Whose it was.
    pub database: u32,
    /// What was lost with it.
    pub lost: Lost,
}

/// What an entry knew that its row does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Activity: the session may end early.
    Activity,
    /// That the session, as it was, was found expired.
    Expiry(Session, Expiry),
}

/// The partitions' locks, and who is told of what happens under them.
pub trait Locks {
    /// Runs `work` under the partition's lock, shared with others who read.
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
    /// As [`Locks::shared`]; `work` is told whether the lock had to be waited for.
    fn shared_timed<R>(&self, partition: usize, work: impl FnOnce(bool) -> R) -> R {
        self.shared(partition, || work(false))
    }
    /// Runs `work` under the partition's lock, alone.
    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
    /// An entry is about to go; under the partition's lock, held alone. From the return of this on, an expiry that is lost
    /// is to be known in another way.
    fn displaced(&self, displaced: Displaced);
}

/// A session's name among all databases: an extension dropped and created anew finds nothing of the old, as its table
/// has another OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// OID of the database.
    pub database: u32,
    /// OID of the session table.
    pub table: u32,
    /// Digest of the session id.
    pub digest: Digest,
}

/// A row as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Clocks and limits.
    pub session: Session,
    /// Which opening of the session id it is.
    pub version: i64,
}

/// The registry.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'m, L> {
    table: Table<'m>,
    locks: L,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Over memory that was formatted, with as many locks as it has partitions.
    pub fn new(memory: Memory<'m>, locks: L) -> Self {
        Self {
            table: Table::new(memory),
            locks,
        }
    }

    /// Makes memory of any contents an empty registry. Nobody else may use it meanwhile.
    pub fn format(&self) {
        self.table.format();
    }

    /// Where looking for a session begins, so that the processor can be told to fetch it ahead. No lock, no promise.
    pub fn bucket(&self, key: &Key) -> &'m AtomicU32 {
        self.table.bucket(self.table.place(key))
    }

    /// The slot where a session most probably is, likewise.
    pub fn probable_slot(&self, key: &Key) -> Option<&'m Slot> {
        self.table.probable_slot(self.table.place(key))
    }

    /// A new entry, to be filled; `None` where there is no room. Under the exclusive lock.
    fn insert(&self, place: table::Place, key: &Key, reserve: table::Reserve) -> Option<table::Entry<'m>> {
        self.table
            .insert(place, key, reserve, |displaced| self.locks.displaced(displaced))
    }

    /// How many entries are in use, and how many there is room for. No lock: a figure for people.
    pub fn fill(&self) -> (usize, usize) {
        self.table.fill()
    }
}
