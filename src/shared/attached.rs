//! What a backend may use of shared memory.

use std::sync::atomic::Ordering::Acquire;

use super::database::Database;
use super::databases;
use super::segment::{self, Shared};
use crate::pg::nothrow;
use crate::pg::transaction::my_database;

/// Shared memory, as one call of a function uses it. Collected once, and handed down.
#[derive(Clone, Copy)]
pub struct Attached {
    /// Shared memory.
    pub shared: &'static Shared,
    place: Option<&'static Database>,
    /// Whether this server is a standby.
    pub in_recovery: bool,
}

impl Attached {
    /// `None` if the library was not preloaded.
    pub fn current() -> Option<Self> {
        segment::get().map(Self::to)
    }

    /// Of this shared memory.
    pub fn to(shared: &'static Shared) -> Self {
        Self {
            shared,
            place: databases::current(shared),
            in_recovery: nothrow::recovery_in_progress(),
        }
    }

    /// The place of this process's database; `None` if the list is full, or if the place was given to another database while
    /// the call waited for something.
    pub fn database(&self) -> Option<&'static Database> {
        self.place.filter(|place| place.oid() == my_database())
    }

    /// The generation of this database's parameters, which every commit of a change increases before it returns. `None` on
    /// a standby, where nobody increases it.
    pub fn parameter_generation(&self) -> Option<u64> {
        let database = self.database().filter(|_| !self.in_recovery)?;
        Some(database.parameters.load(Acquire))
    }

    /// A function or a worker has written a row of a session to a page of a file, in the current transaction.
    pub fn page_written(&self, file: u32, page: u32) {
        self.shared.page_bounds.written(file, page);
        // Not the place of the beginning of the call, which may have got one while it waited.
        if let Some(database) = databases::current(self.shared) {
            database.purge_due.unknown();
        }
    }

    /// Something of this database cannot wait: the launcher starts a worker at once. Raises nothing.
    pub fn hurry(&self) {
        if let Some(database) = self.database() {
            database.set_urgent();
            self.shared.control.wake_launcher();
        }
    }
}
