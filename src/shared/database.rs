//! What is shared about one database: its parameters' generation, what there is to do, and what was done.
//!
//! The list is changed under its lock; the rest are atomics of their own. Backends remember where theirs is.
//!
//! A database that is dropped gives up its place, and the registry its sessions, before the commit of DROP DATABASE: a
//! database that is made anew under the same OID finds nothing of the old ([`forget_dropped`]). Where that was not noticed,
//! as it was dropped before a promotion, the launcher finds it out. Each time a place is given to a database or freed it
//! gets another registration number, so that who was looking at the old database changes nothing of the new
//! ([`Registered`]).
//!
//! There are as many places as `session_timeout.max_databases` says. A database that a worker has found without the extension
//! gives up its place, and gets one again at the commit of CREATE EXTENSION. A backend whose database has none looks again
//! when one has become free.
//!
//! A standby replays a drop unnoticed. There a place remembers the files of its database, too, and what was known of a
//! database of other files is forgotten.

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{
    AtomicI64, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use pgrx::pg_sys::{self, Oid};
use session_timeout_core::registry::{Unrecorded, UnrecordedLimits};

use super::Shared;
use crate::maintenance::{LATER, backoff};
use crate::process::PerProcess;
use crate::{guc, unguarded};

/// Whether a database has the extension, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Presence {
    /// A worker is to look.
    Unknown = 0,
    /// It has.
    Installed = 1,
    /// It has not.
    Absent = 2,
}

/// Something that is done every so often.
#[derive(Default)]
pub struct Schedule {
    /// When it was begun last, microseconds since 2000; the least there is: never.
    last: AtomicI64,
    /// How long after that it is due again, microseconds.
    every: AtomicI64,
}

impl Schedule {
    /// When it is due by a clock that says `now`, microseconds since 2000. At once where it was begun by a clock that was
    /// ahead of that one. An interval below the launcher's nap counts as that.
    pub fn next(&self, now: i64) -> i64 {
        match self.last.load(Acquire) {
            i64::MIN => i64::MIN,
            last if is_ahead(last, now) => i64::MIN,
            last => last.saturating_add(self.every.load(Acquire).max(guc::naptime() * 1_000_000)),
        }
    }

    /// It is to be done this often, microseconds.
    pub fn set_every(&self, every: i64) {
        self.every.store(every, Release);
    }

    /// It was begun.
    pub fn done(&self, begun: i64) {
        self.last.store(begun, Release);
    }

    /// It is due at once.
    pub fn make_due(&self) {
        self.last.store(i64::MIN, Release);
    }
}

/// Whether a time that was now somewhere has been told by a clock that was ahead of the one that says `now`. A process
/// may have looked at the clock a moment earlier than another.
pub fn is_ahead(time: i64, now: i64) -> bool {
    const MOMENT: i64 = 1_000_000;
    time > now.saturating_add(MOMENT)
}

/// One database.
#[repr(C, align(128))]
#[derive(Default)]
pub struct Database {
    /// Its OID; 0: this place is free.
    oid: AtomicU32,
    /// Counts how often this place was given to a database or freed.
    registration: AtomicU32,
    /// On a standby, which files it has; 0: not known.
    files: AtomicU64,
    presence: AtomicU32,
    /// Counts commits that created or dropped the extension.
    installations: AtomicU32,
    /// Grows with each committed change of its parameters, and when the place becomes a database's.
    pub parameters: AtomicU64,
    /// Transactions that are committing a change of any of its sessions.
    pub flux: AtomicU32,
    /// Some activity is not written down yet.
    dirty: AtomicU32,
    /// Some session is marked, or something else cannot wait.
    urgent: AtomicU32,
    /// The registry was full for a session of this database: a flush would make room.
    pub full: AtomicU32,
    /// When that was last said in the log, microseconds since 2000.
    pub full_said: AtomicI64,
    /// No pass before this time: something was another's.
    pub not_before: AtomicI64,

    /// When and how often unflushed activity is written down.
    pub flush: Schedule,
    /// When and how often expired sessions are looked for.
    pub purge: Schedule,
    /// The registry's slot where looking for marks goes on.
    pub expire_from: AtomicU32,
    /// The registry's slot where the flush goes on.
    pub flush_from: AtomicU32,
    /// The heap page where the purge goes on.
    pub purge_from: AtomicU32,
    /// Passes that failed, since the last that did not.
    pub failures: AtomicU32,
    /// One of those failures has been said in the log.
    pub failure_said: AtomicU32,
    /// The worker that is at it, or on its way, 0: none. It says so before it connects, and until it has ended.
    pub worker: AtomicU32,
    /// Passes in a row that waited for a lock in vain.
    lock_waits: AtomicU32,
    /// A session was found expired that could not be marked.
    purge_hurries: AtomicU32,
    /// Expiries that no entry records.
    pub unrecorded: Unrecorded,
    /// As they were when the purge that is under way began.
    purge_judges_by: Unrecorded,

    /// When the last pass ended.
    pub last_pass: AtomicI64,
    /// Workers that were here and have ended: they all say so, in whatever way they end.
    pub ended: AtomicU32,
    /// Rows written, ever.
    pub flushed: AtomicU64,
    /// Sessions expired that a check had marked, ever.
    pub expired: AtomicU64,
    /// Sessions expired that the purge found, ever.
    pub purged: AtomicU64,
    /// SQLSTATE of the last failure, as PostgreSQL encodes it; 0: none.
    pub last_error: AtomicU32,
}

impl Database {
    /// Its OID.
    pub fn oid(&self) -> Oid {
        Oid::from(self.oid.load(Acquire))
    }

    /// Whether this place is a database's.
    pub fn is_used(&self) -> bool {
        self.oid() != Oid::INVALID
    }

    /// Whether it has the extension.
    pub fn presence(&self) -> Presence {
        match self.presence.load(Acquire) {
            1 => Presence::Installed,
            2 => Presence::Absent,
            _ => Presence::Unknown,
        }
    }

    /// Says whether it has.
    pub fn set_presence(&self, presence: Presence) {
        // SeqCst, as in what counts installations: who says what it saw, and then looks whether that has changed, and who
        // counts a change, and then says that it is not known, cannot both miss the other.
        self.presence.store(presence as u32, SeqCst);
    }

    /// Some of its parameters have changed, by a commit.
    pub fn parameters_changed(&self, shared: &Shared) {
        self.parameters.fetch_max(shared.control.new_generation(), AcqRel);
    }

    /// How often it was.
    pub fn installations(&self) -> u32 {
        self.installations.load(SeqCst)
    }

    /// Some activity is to be written down. Writes only where that is news.
    pub fn set_dirty(&self) {
        // SeqCst, here and in `take_dirty`, as in the registry's words: the worker that has just taken the bit finds the
        // activity for which it was still set.
        if self.dirty.load(SeqCst) == 0 {
            self.dirty.store(1, SeqCst);
        }
    }

    /// Whether there is any.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Acquire) != 0
    }

    /// Whether there was; from here on, what comes is news again.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(0, SeqCst) != 0
    }

    /// The next pass is to purge, however long it is until the next purge.
    pub fn hurry_purge(&self) {
        self.purge_hurries.store(1, Release);
    }

    /// Whether it is to.
    pub fn purge_hurries(&self) -> bool {
        self.purge_hurries.load(Acquire) != 0
    }

    /// A purge begins at the first page: it finds what there was to hurry for.
    pub fn purge_begins(&self) {
        self.purge_hurries.store(0, Release);
        self.purge_judges_by.copy_from(&self.unrecorded.limits());
    }

    /// It has come to its end, and what it found expired by unrecorded expiries is deleted, or was added to them anew.
    pub fn purge_ends(&self) {
        self.unrecorded.drop_unless_added(&self.purge_judges_by.limits());
    }

    /// What is to be carried over a restart, if there is something.
    pub fn unrecorded_to_save(&self) -> Option<UnrecordedLimits> {
        let limits = self.unrecorded.limits();
        (!limits.is_none()).then_some(limits)
    }

    /// What an earlier run has left. At the start, before there are other processes.
    pub fn restore_unrecorded(&self, saved: &UnrecordedLimits) {
        self.unrecorded.restore(saved);
        self.hurry_purge();
    }

    /// The registry is full, and a flush of this database would make room: whether that is news.
    pub fn make_room_soon(&self) -> bool {
        let is_news = self.full.swap(1, AcqRel) == 0;
        if is_news {
            self.set_dirty();
            self.set_urgent();
        }
        is_news
    }

    /// Something cannot wait for the next pass.
    pub fn set_urgent(&self) {
        self.urgent.store(1, Release);
    }

    /// From here on, what cannot wait is news again: what came before is found by who looks for it now.
    pub fn take_urgent(&self) {
        self.urgent.swap(0, SeqCst);
    }

    /// Whether something cannot.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Acquire) != 0
    }

    fn clear(&self, shared: &Shared, oid: Oid) {
        self.set_presence(Presence::Unknown);
        self.flux.store(0, Relaxed);
        self.parameters_changed(shared);
        for word in [
            &self.dirty,
            &self.urgent,
            &self.full,
            &self.failure_said,
            &self.expire_from,
            &self.flush_from,
            &self.purge_from,
            &self.failures,
            &self.purge_hurries,
            &self.worker,
            &self.lock_waits,
            &self.last_error,
        ] {
            word.store(0, Relaxed);
        }
        self.unrecorded.clear();
        self.flush.make_due();
        self.purge.make_due();
        for time in [&self.last_pass, &self.not_before, &self.full_said] {
            time.store(i64::MIN, Relaxed);
        }
        for count in [&self.flushed, &self.expired, &self.purged] {
            count.store(0, Relaxed);
        }
        self.files.store(0, Relaxed);
        self.registration.fetch_add(1, AcqRel);
        self.oid.store(oid.into(), Release);
    }

    /// Others held a lock for longer than a worker waits, and it ended with this SQLSTATE. Tried again later, and each time
    /// later.
    pub fn was_locked(&self, now: i64, code: i32) {
        let n = self.lock_waits.fetch_add(1, AcqRel).saturating_add(1);
        self.last_error.store(code as u32, Release);
        self.not_before.store(now.saturating_add(backoff(LATER, n)), Release);
    }

    /// A pass failed, with this SQLSTATE.
    pub fn has_failed(&self, code: i32) {
        self.last_error.store(code as u32, Release);
        self.failures.fetch_add(1, AcqRel);
    }

    /// A pass has ended as it should: what was wrong is over.
    pub fn has_succeeded(&self) {
        self.failures.store(0, Release);
        self.failure_said.store(0, Release);
        self.lock_waits.store(0, Release);
    }

    /// The launcher has seen it: from here on it is told of its drop.
    pub fn is_watched(&self) {
        self.files.store(0, Release);
    }

    fn free(&self, shared: &Shared) {
        self.oid.store(0, Release);
        self.registration.fetch_add(1, AcqRel);
        shared.control.places_freed.fetch_add(1, AcqRel);
    }
}

/// A database's place, as long as it is that database's.
#[derive(Clone, Copy)]
pub struct Registered {
    /// The place.
    pub database: &'static Database,
    oid: Oid,
    registration: u32,
}

impl Registered {
    /// As it is now; `None` where the place is free.
    fn of(database: &'static Database) -> Option<Self> {
        // Read before and after: of one database.
        let registration = database.registration.load(Acquire);
        let oid = database.oid();
        (oid != Oid::INVALID && database.registration.load(Acquire) == registration).then_some(Self {
            database,
            oid,
            registration,
        })
    }

    /// Whose place it is.
    pub fn oid(&self) -> Oid {
        self.oid
    }

    /// Whether this process is its worker.
    pub fn has_worker(&self, pid: u32) -> bool {
        self.database.worker.load(Acquire) == pid && self.is_current()
    }

    fn is_current(&self) -> bool {
        self.database.oid() == self.oid && self.database.registration.load(Acquire) == self.registration
    }

    /// Runs `work`, which is short and raises nothing, where the place is still that database's, and stays so meanwhile.
    pub fn with<R>(&self, shared: &Shared, work: impl FnOnce(&Database) -> R) -> Option<R> {
        shared.with_databases(|_| self.is_current().then(|| work(self.database)))
    }
}

/// The databases that have places.
pub fn registered(shared: &'static Shared) -> impl Iterator<Item = Registered> + use<> {
    shared.databases.iter().filter_map(Registered::of)
}

static MINE: PerProcess<Cell<Option<&'static Database>>> = PerProcess::new(Cell::new(None));

/// How many places had become free when this process found none.
static NO_PLACE: PerProcess<Cell<Option<u32>>> = PerProcess::new(Cell::new(None));

/// The place of the database that this process is connected to; `None` where the list is full.
pub fn mine(shared: &'static Shared) -> Option<&'static Database> {
    // SAFETY: a plain read; set once when the process connects.
    let me = unsafe { pg_sys::MyDatabaseId };
    if let Some(mine) = MINE.get()
        && mine.oid() == me
    {
        return Some(mine);
    }
    let freed = shared.control.places_freed.load(Acquire);
    if NO_PLACE.get() == Some(freed) {
        return None;
    }
    let found = enter(shared, me);
    if let Some(database) = found
        && (database.files.load(Acquire) != 0 || unguarded::recovery_in_progress())
    {
        Registered::of(database)
            .filter(|place| place.oid() == me)
            .inspect(|place| compare_files(shared, *place));
    }
    MINE.set(found);
    NO_PLACE.set(found.is_none().then_some(freed));
    found
}

static LAST_KNOWN: PerProcess<Cell<Option<&'static Database>>> = PerProcess::new(Cell::new(None));

/// The place of a database, `None` where it has none. Takes no lock.
pub fn known(shared: &Shared, oid: Oid) -> Option<&'static Database> {
    if let Some(known) = LAST_KNOWN.get()
        && known.oid() == oid
    {
        return Some(known);
    }
    let found = shared.databases.iter().find(|database| database.oid() == oid)?;
    LAST_KNOWN.set(Some(found));
    Some(found)
}

/// The place of a database, if it has one.
pub fn find(shared: &'static Shared, oid: Oid) -> Option<Registered> {
    registered(shared).find(|place| place.oid() == oid)
}

/// The place of a database, made where it has none.
pub fn enter(shared: &'static Shared, oid: Oid) -> Option<&'static Database> {
    let find = |databases: &'static [Database]| databases.iter().find(|database| database.oid() == oid);
    shared
        .looking_at_databases(find)
        .or_else(|| shared.with_databases(|databases| place_in(shared, databases, oid)))
}

/// Likewise, under the list's lock.
fn place_in(shared: &Shared, databases: &'static [Database], oid: Oid) -> Option<&'static Database> {
    databases.iter().find(|database| database.oid() == oid).or_else(|| {
        let free = databases.iter().find(|database| !database.is_used())?;
        free.clear(shared, oid);
        Some(free)
    })
}

/// The extension was created or dropped in this process's database, by a commit. Raises nothing.
pub fn installation_changed(shared: &'static Shared) {
    // SAFETY: a plain read; set once when the process connects.
    let me = unsafe { pg_sys::MyDatabaseId };
    // Under the lock, under which a database without the extension gives up its place.
    shared.with_databases(|databases| {
        if let Some(database) = place_in(shared, databases, me) {
            database.installations.fetch_add(1, SeqCst);
            database.set_presence(Presence::Unknown);
            database.not_before.store(i64::MIN, Relaxed);
        }
    });
}

/// A transaction begins to commit a change of any of the sessions of this process's database. The place stays that database's
/// until it says that it is done. Raises nothing.
pub fn begin_flux(shared: &'static Shared) -> Option<&'static Database> {
    // SAFETY: likewise.
    let me = unsafe { pg_sys::MyDatabaseId };
    shared.with_databases(|databases| {
        place_in(shared, databases, me).inspect(|database| {
            database.flux.fetch_add(1, AcqRel);
        })
    })
}

/// A worker has looked whether a database has the extension, since which there have been this many changes of that.
pub fn has_looked(shared: &'static Shared, place: Registered, installations: u32, presence: Presence) {
    place.with(shared, |database| {
        // Created or dropped while it was at it: to be looked at again.
        let is_news = database.installations() != installations;
        database.set_presence(if is_news { Presence::Unknown } else { presence });
    });
}

/// Frees the place of a database that has not the extension: whether it did.
pub fn release_absent(shared: &'static Shared, place: Registered) -> bool {
    let release = |database: &Database| {
        let is_absent = database.presence() == Presence::Absent
            && database.flux.load(Acquire) == 0
            && database.worker.load(Acquire) == 0;
        if is_absent {
            database.free(shared);
        }
        is_absent
    };
    place.with(shared, release) == Some(true)
}

/// Forgets a database that is no more, and what it had in the registry. Nobody is connected to it, or can be. Raises
/// nothing.
pub fn forget_dropped(shared: &Shared, oid: Oid) {
    shared.registry.forget(oid.into(), None);
    shared.control.databases_dropped.fetch_add(1, AcqRel);
    shared.with_databases(|databases| {
        if let Some(database) = databases.iter().find(|database| database.oid() == oid) {
            database.free(shared);
        }
    });
}

/// On a standby, and until the launcher has looked after a promotion: forgets what is known of a database of this OID and
/// other files.
fn compare_files(shared: &Shared, place: Registered) {
    let mine = files_of_my_database();
    let known = place.database.files.load(Acquire);
    if known == mine {
        return;
    }
    // What there is without a place is from the snapshot file.
    if known != 0 {
        shared.registry.forget(place.oid().into(), None);
    }
    place.with(shared, |database| database.files.store(mine, Release));
}

/// A number for the files of this process's database: for the one that is written when a database is made or moved, and
/// never again. 0 where it cannot be looked at.
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
