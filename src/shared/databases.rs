//! The list of databases.
//!
//! It has `session_timeout.max_databases` places, and is changed under its lock. A database gets a place when a process of
//! it looks for one, or when the launcher finds the database.
//!
//! | event | what happens to the place |
//! | --- | --- |
//! | DROP DATABASE | freed before its commit, and the registry forgets the sessions of the database ([`forget_dropped`]): a database that gets the same OID later finds nothing of the old one |
//! | a drop that nobody saw, before a promotion or a restart | the launcher frees it |
//! | a worker finds no extension | freed ([`unregister_absent`]); the commit of CREATE EXTENSION gets a place again |
//! | no place is free | checks use rows alone; a backend looks again when a place has become free |
//!
//! Each time a place is given to a database or freed it gets another registration number. A process that looked at the old
//! database changes nothing of the new one ([`Registered`]).
//!
//! A standby replays a drop without calling our hook. There the place also remembers a number for the files of its database
//! (`PG_VERSION`, which is written once when a database is created). If the files differ, everything known of the database
//! is forgotten.

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use pgrx::pg_sys::{self, Oid};

use super::database::{Database, Presence};
use super::segment::Shared;
use crate::pg::backend_local::BackendLocal;
use crate::pg::nothrow;
use crate::pg::transaction::my_database;

/// The place of a database, with its registration: it can be checked whether it is still that database's.
#[derive(Clone, Copy)]
pub struct Registered {
    /// The place.
    pub database: &'static Database,
    oid: Oid,
    registration: u32,
}

impl Registered {
    /// `None` if the place is free.
    fn of(database: &'static Database) -> Option<Self> {
        // Read before and after, so that both are of one registration.
        let registration = database.registration.load(Acquire);
        let oid = database.oid();
        (oid != Oid::INVALID && database.registration.load(Acquire) == registration).then_some(Self {
            database,
            oid,
            registration,
        })
    }

    /// The database.
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// Whether the process with this pid is its worker.
    pub fn has_worker(&self, pid: u32) -> bool {
        self.database.worker.load(Acquire) == pid && self.is_current()
    }

    fn is_current(&self) -> bool {
        self.database.oid() == self.oid && self.database.registration.load(Acquire) == self.registration
    }

    /// Runs `work` if the place is still that database's, under the lock of the list. `work` must be short and raise
    /// nothing.
    pub fn with<R>(&self, shared: &Shared, work: impl FnOnce(&Database) -> R) -> Option<R> {
        shared.with_databases(|_| self.is_current().then(|| work(self.database)))
    }
}

/// The databases that have places.
pub fn registered(shared: &'static Shared) -> impl Iterator<Item = Registered> + use<> {
    shared.databases.iter().filter_map(Registered::of)
}

/// From now on no bound of a page counts, in any database.
pub fn begin_purge_epochs(shared: &'static Shared) {
    for place in registered(shared) {
        place.database.purge_due.begin_epoch(shared.control);
    }
}

static CURRENT: BackendLocal<Cell<Option<&'static Database>>> = BackendLocal::new(Cell::new(None));

/// How many places had been freed when this process found none.
static NO_PLACE_AT: BackendLocal<Cell<Option<u32>>> = BackendLocal::new(Cell::new(None));

/// The place of the database that this process is connected to, registered if need be; `None` if the list is full.
pub fn current(shared: &'static Shared) -> Option<&'static Database> {
    let me = my_database();
    if let Some(current) = CURRENT.get()
        && current.oid() == me
    {
        return Some(current);
    }
    let freed = shared.control.places_freed.load(Acquire);
    if NO_PLACE_AT.get() == Some(freed) {
        return None;
    }
    let found = register(shared, me);
    if let Some(database) = found
        && (database.files.load(Acquire) != 0 || nothrow::recovery_in_progress())
    {
        Registered::of(database)
            .filter(|place| place.oid() == me)
            .inspect(|place| compare_files(shared, *place));
    }
    CURRENT.set(found);
    NO_PLACE_AT.set(found.is_none().then_some(freed));
    found
}

/// The place of a database, if it has one.
pub fn find(shared: &'static Shared, oid: Oid) -> Option<Registered> {
    registered(shared).find(|place| place.oid() == oid)
}

/// The place of a database, which gets one if it has none; `None` if the list is full.
pub fn register(shared: &'static Shared, oid: Oid) -> Option<&'static Database> {
    let find = |databases: &'static [Database]| databases.iter().find(|database| database.oid() == oid);
    shared
        .look_at_databases(find)
        .or_else(|| shared.with_databases(|databases| find_or_assign(shared, databases, oid)))
}

/// As [`register`], under the lock of the list.
fn find_or_assign(shared: &Shared, databases: &'static [Database], oid: Oid) -> Option<&'static Database> {
    databases.iter().find(|database| database.oid() == oid).or_else(|| {
        let free = databases.iter().find(|database| !database.is_used())?;
        free.assign(shared.control, oid);
        Some(free)
    })
}

/// A commit has created or dropped the extension in this process's database. Raises nothing.
pub fn installation_changed(shared: &'static Shared) {
    // Under the lock, under which a database without the extension loses its place.
    shared.with_databases(|databases| {
        if let Some(database) = find_or_assign(shared, databases, my_database()) {
            database.installations.fetch_add(1, SeqCst);
            database.set_presence(Presence::Unknown);
            database.not_before.store(i64::MIN, Relaxed);
        }
    });
}

/// A transaction that changed any number of sessions of this process's database begins to commit: until
/// [`end_invalidation_of_all`], checks ask rows, and the database keeps its place. Raises nothing.
pub fn begin_invalidation_of_all(shared: &'static Shared) -> Option<&'static Database> {
    shared.with_databases(|databases| {
        find_or_assign(shared, databases, my_database()).inspect(|database| {
            database.invalidations.fetch_add(1, AcqRel);
        })
    })
}

/// That transaction has ended. Raises nothing.
pub fn end_invalidation_of_all(database: &Database) {
    database.invalidations.fetch_sub(1, AcqRel);
}

/// A worker has looked whether a database has the extension. Before it did, `installations` commits had created or dropped
/// the extension.
pub fn set_presence(shared: &'static Shared, place: Registered, installations: u32, presence: Presence) {
    place.with(shared, |database| {
        // If it was created or dropped meanwhile, a worker must look again.
        let has_changed = database.installations() != installations;
        database.set_presence(if has_changed { Presence::Unknown } else { presence });
    });
}

/// Frees the place of a database that does not have the extension. Returns whether it did.
pub fn unregister_absent(shared: &'static Shared, place: Registered) -> bool {
    let release = |database: &Database| {
        let is_absent = database.presence() == Presence::Absent
            && database.invalidations.load(Acquire) == 0
            && database.worker.load(Acquire) == 0;
        if is_absent {
            database.free(shared.control);
        }
        is_absent
    };
    place.with(shared, release) == Some(true)
}

/// Forgets a dropped database and its sessions in the registry. Nobody is connected to it, or can connect. Raises nothing.
pub fn forget_dropped(shared: &Shared, oid: Oid) {
    shared.registry.forget(oid.into(), None);
    shared.control.databases_dropped.fetch_add(1, AcqRel);
    shared.with_databases(|databases| {
        if let Some(database) = databases.iter().find(|database| database.oid() == oid) {
            database.free(shared.control);
        }
    });
}

/// On a standby, and after a promotion until the launcher has looked: forgets what is known of a database of the same OID
/// with other files.
fn compare_files(shared: &Shared, place: Registered) {
    let current = files_of_my_database();
    let known = place.database.files.load(Acquire);
    if known == current {
        return;
    }
    // Without a number, the entries are from the snapshot file.
    if known != 0 {
        shared.registry.forget(place.oid().into(), None);
    }
    place.with(shared, |database| database.files.store(current, Release));
}

/// A number for the files of this process's database: for its `PG_VERSION`, which is written when a database is created
/// or moved, and never again. 0 if it cannot be read.
fn files_of_my_database() -> u64 {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: set when the process connected to its database.
    let directory = unsafe { CStr::from_ptr(pg_sys::DatabasePath) };
    let file = Path::new(OsStr::from_bytes(directory.to_bytes())).join("PG_VERSION");
    std::fs::metadata(file).map_or(0, |file| {
        let mut hasher = DefaultHasher::new();
        (file.ino(), file.mtime(), file.mtime_nsec()).hash(&mut hasher);
        hasher.finish().max(1)
    })
}
