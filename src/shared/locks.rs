//! The LWLocks: one for each partition of the registry, and one for the list of databases.

use std::cell::Cell;

use pgrx::pg_sys::{self, Oid};
use session_timeout_core::registry::{Displaced, Locks, Lost};

use super::control::Control;
use super::counters::{self, Counters};
use super::database::{self, Database};
use crate::pg::backend_local::BackendLocal;
use crate::pg::{clock, nothrow};

/// The locks, and what the registry reports to the rest of shared memory while one is held.
#[derive(Clone, Copy)]
pub struct LwLocks {
    /// The tranche: the lock `n` is that of partition `n`, the last one that of the list of databases.
    pub tranche: *mut pg_sys::LWLockPadded,
    pub control: &'static Control,
    pub databases: &'static [Database],
    pub counters: &'static [Counters],
}

/// A lock that this process holds.
struct Guard(*mut pg_sys::LWLock);

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: acquired by `acquire`, released once.
        unsafe { nothrow::release(self.0) };
    }
}

impl LwLocks {
    /// Acquires a lock. Returns whether that had to wait.
    fn acquire(&self, lock: usize, mode: pg_sys::LWLockMode::Type) -> (Guard, bool) {
        // SAFETY: the tranche has a lock for each partition and one more.
        unsafe {
            let lock = &raw mut (*self.tranche.add(lock)).lock;
            let was_free = nothrow::acquire(lock, mode);
            (Guard(lock), !was_free)
        }
    }
}

impl Locks for LwLocks {
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let _guard = self.acquire(partition, pg_sys::LWLockMode::LW_SHARED);
        work()
    }

    fn shared_timed<R>(&self, partition: usize, work: impl FnOnce(bool) -> R) -> R {
        let (_guard, has_waited) = self.acquire(partition, pg_sys::LWLockMode::LW_SHARED);
        work(has_waited)
    }

    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let result = {
            let _guard = self.acquire(partition, pg_sys::LWLockMode::LW_EXCLUSIVE);
            work()
        };
        if HAS_DISPLACED.get() {
            HAS_DISPLACED.set(false);
            self.control.wake_launcher();
        }
        result
    }

    /// Raises nothing, allocates nothing, and waits for nothing.
    fn displaced(&self, displaced: Displaced) {
        let database = database::find_unlocked(self.databases, Oid::from(displaced.database));
        match displaced.lost {
            // A standby writes nothing to rows: there the session that was used longest ago always makes room.
            Lost::Activity if nothrow::recovery_in_progress() => return,
            Lost::Activity => counters::of_this_process(self.counters).lost_touches.add_one(),
            Lost::Expiry(session, expiry) => {
                if let Some(database) = database {
                    database.unrecorded.add(&session, expiry, clock::now());
                    database.hurry_purge();
                }
            }
        }
        if database.is_some_and(Database::make_room_soon) {
            HAS_DISPLACED.set(true);
        }
    }
}

/// Another database has lost an entry under the lock that this process holds: the launcher must be woken after it.
static HAS_DISPLACED: BackendLocal<Cell<bool>> = BackendLocal::new(Cell::new(false));
