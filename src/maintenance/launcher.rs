//! The launcher: decides which database needs a worker, and starts it.
//!
//! | what shared memory says of a database | what the launcher does |
//! | --- | --- |
//! | unknown: it is new, or the extension was created or dropped | starts a worker, which looks |
//! | it has the extension | starts a worker when something is due |
//! | it does not have the extension | frees its place |
//! | it is not in `pg_database` any more | forgets its sessions and its place, as DROP DATABASE does unless it is replayed |
//!
//! | when a pass is due | |
//! | --- | --- |
//! | at once | the database is unknown, or urgent: a session was found expired, parameters changed, the registry is full, a pass did not get through |
//! | at the flush interval | the database has dirty activity |
//! | at the purge interval | a page of the session table must be read again ([`crate::shared::purge_due`]) |
//!
//! "At once" is 0.5 s after the last pass, so that whoever waits to drop or copy the database gets its turn; 2 s after a pass
//! that met a lock. The database that has been due for longest comes first: one worker for a database, `max_workers` in all.
//! Its latch is set by a check that finds a session expired, by a commit that changes parameters or creates or drops the
//! extension, and by a worker that starts or ends. New activity does not wake it: it sleeps `naptime` at most, and no flush
//! interval is shorter.
//!
//! Intervals are measured by the wall clock: a time that is later than now comes from a clock that was ahead, and counts as
//! never. How long a pass takes is measured by the monotonic clock.
//!
//! After a failed pass it waits, twice as long each time, a minute at most. It ends a worker that takes too long, which is a
//! failed pass too. A restarted launcher takes over the workers that run. In a database whose extension is damaged (a table
//! was renamed, say) passes fail, so it is retried until it is repaired.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::clock_watch::ClockWatch;

use super::limits::{LONGEST_RUN, PAUSE, limit_lock_waits};
use crate::guc;
use crate::pg::background::{self, is_alive, terminate};
use crate::pg::clock;
use crate::pg::lock::try_lock_shared_object;
use crate::pg::transaction::{abort, accept_invalidations};
use crate::shared::database::{Database, Presence};
use crate::shared::databases::{self, Registered};
use crate::shared::schedule::{MAX_BACKOFF, backoff, is_ahead};
use crate::shared::{self, Shared, startup};

/// The shortest sleep, in milliseconds.
const SHORTEST_NAP: i64 = 100;

/// A worker that runs, as far as the launcher knows.
struct Running {
    place: Registered,
    process: Process,
    /// Since when, by a clock that nobody sets.
    since: Instant,
    /// It took too long, and was told to end.
    is_told_to_end: bool,
}

enum Process {
    /// This launcher has started it.
    Own {
        handle: *mut pg_sys::BackgroundWorkerHandle,
        /// How many workers of the database had ended before.
        ended_before: u32,
    },
    /// An earlier launcher has started it.
    Inherited { pid: u32 },
}

/// The main function of the launcher, by the name in its registration.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ist_launcher_main(_argument: pg_sys::Datum) {
    let Some(shared) = shared::get() else { return };
    // SAFETY: the main function of a background worker, in its order: handlers, signals, connection.
    unsafe {
        background::pqsignal(background::SIGHUP, Some(background::SignalHandlerForConfigReload));
        background::pqsignal(background::SIGTERM, Some(background::SignalHandlerForShutdownRequest));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
    shared::snapshot::consume();
    // SAFETY: as above.
    unsafe {
        limit_lock_waits();
        pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0);
        pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::from(0_usize));
        shared.control.set_launcher(pg_sys::MyLatch);
    }
    let mut running = take_over(shared);
    let mut has_forgotten = false;
    let mut databases = Databases::default();
    let mut next_look = i64::MIN;
    // By a clock that nobody sets.
    let begun = Instant::now();
    let mut watch = ClockWatch::new(clock::now().micros(), begun.elapsed());
    databases::begin_purge_epochs(shared);
    loop {
        // SAFETY: plain reads of flags that the handlers set; proc_exit runs the exit callbacks. The postmaster starts a
        // launcher that ended with 1 again, unless it is itself about to end.
        unsafe {
            pg_sys::ResetLatch(pg_sys::MyLatch);
            pgrx::check_for_interrupts!();
            if (&raw const pg_sys::ShutdownRequestPending).read_volatile() != 0 {
                pg_sys::proc_exit(1);
            }
            if (&raw const pg_sys::ConfigReloadPending).read_volatile() != 0 {
                (&raw mut pg_sys::ConfigReloadPending).write_volatile(0);
                pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
            }
        }
        let looked = clock::now().micros();
        let naptime = guc::naptime() * 1_000_000;
        if looked >= next_look || is_ahead(next_look, looked.saturating_add(naptime)) {
            has_forgotten = has_forgotten || forget_vanished(shared);
            databases.look(shared);
            next_look = looked.saturating_add(naptime);
        }
        let now = clock::now().micros();
        if watch.was_set_back(now, begun.elapsed()) {
            // Clocks of sessions may be in the future now.
            databases::begin_purge_epochs(shared);
        }
        running.retain_mut(|one| still_runs(shared, one));
        if databases.release(shared) && databases.without_place > 0 {
            // Others are waiting for a place.
            next_look = now;
        }
        // A worker may be the reason of a crash. The server must not crash again at once, so that there is time to do
        // something about it.
        let resting = startup::has_crashed() && begun.elapsed() < Duration::from_secs(guc::naptime() as u64);
        let next = if resting {
            next_look
        } else {
            start_what_is_due(shared, &mut running, &databases, now).min(next_look)
        };
        let mut nap = (next.saturating_sub(now) / 1000).clamp(SHORTEST_NAP, guc::naptime() * 1000);
        for one in running.iter().filter(|one| !one.is_told_to_end) {
            let left = LONGEST_RUN.saturating_sub(one.since.elapsed());
            nap = nap.min(left.as_millis() as i64 + 1);
        }
        // SAFETY: our own latch.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
                nap,
                pg_sys::PG_WAIT_EXTENSION,
            );
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: i32, _argument: pg_sys::Datum) {
    if let Some(shared) = shared::get() {
        shared.control.set_launcher(std::ptr::null_mut());
    }
}

/// Forgets sessions of databases that were dropped before this server knew them: while it was a standby, or before the last
/// shutdown. Returns false if that must be tried again.
fn forget_vanished(shared: &'static Shared) -> bool {
    let Some(present) = in_transaction(connectable_databases) else {
        return false;
    };
    let mut known: Vec<u32> = present.iter().map(|(oid, _)| (*oid).into()).collect();
    let mut is_done = true;
    while let Some(other) = shared.registry.database_other_than(&known) {
        is_done &= forget_if_gone(shared, Oid::from(other));
        known.push(other);
    }
    is_done
}

/// What the launcher remembers of databases that have no place.
#[derive(Default)]
struct Databases {
    /// Those that were found without the extension, and when. CREATE EXTENSION gives them a place again.
    absent: HashMap<u32, Instant>,
    /// How many databases had been dropped by then: a new database with the OID of a dropped one may have the extension.
    dropped: u32,
    /// How many others have no place.
    without_place: usize,
    /// When that was logged last.
    logged: Option<Instant>,
}

impl Databases {
    /// Registers new databases and forgets dropped ones.
    fn look(&mut self, shared: &'static Shared) {
        let dropped = shared.control.databases_dropped.load(Acquire);
        if dropped != self.dropped {
            self.absent.clear();
            self.dropped = dropped;
        }
        // Taken before the look: a database that is created after it is not among those that it finds.
        let before: Vec<Registered> = databases::registered(shared).collect();
        let Some(present) = in_transaction(connectable_databases) else {
            return;
        };
        let present: HashMap<u32, bool> = present.into_iter().map(|(oid, is)| (oid.into(), is)).collect();
        for known in before {
            if present.contains_key(&known.oid().into()) {
                known.with(shared, Database::set_watched);
            } else {
                forget_if_gone(shared, known.oid());
            }
        }
        self.absent.retain(|oid, _| present.contains_key(oid));
        self.without_place = 0;
        for (oid, connectable) in present {
            let known = databases::find(shared, Oid::from(oid));
            if !connectable {
                if let Some(known) = known {
                    // Until it takes connections again.
                    known.database.not_before.store(i64::MAX, Release);
                }
            } else if known.is_some() || !self.absent.contains_key(&oid) {
                match databases::register(shared, Oid::from(oid)) {
                    Some(database) => {
                        let _ = database
                            .not_before
                            .compare_exchange(i64::MAX, i64::MIN, AcqRel, Acquire);
                    }
                    None => self.without_place += 1,
                }
            }
        }
        self.log_full(shared);
    }

    /// Frees the places of databases that were found without the extension. Returns whether there were any.
    fn release(&mut self, shared: &'static Shared) -> bool {
        let mut is_any = false;
        for place in databases::registered(shared) {
            if place.database.presence() == Presence::Absent && databases::unregister_absent(shared, place) {
                self.absent.insert(place.oid().into(), Instant::now());
                is_any = true;
            }
        }
        is_any
    }

    /// How long to leave a database alone that was just found without the extension, in microseconds.
    fn pause(&self, oid: Oid) -> i64 {
        let seen = self.absent.get(&oid.into());
        seen.map_or(0, |at| PAUSE.saturating_sub(at.elapsed().as_micros() as i64).max(0))
    }

    /// Logs that there are too many databases, once an hour at most, and only when all databases with places have been looked
    /// at, so that none of them is about to lose its place.
    fn log_full(&mut self, shared: &'static Shared) {
        const AN_HOUR: Duration = Duration::from_secs(3600);
        if self.without_place == 0 || self.logged.is_some_and(|at| at.elapsed() < AN_HOUR) {
            return;
        }
        let is_settled = databases::registered(shared).all(|place| {
            place.database.presence() != Presence::Absent && place.database.last_pass.load(Acquire) != i64::MIN
        });
        if !is_settled {
            return;
        }
        self.logged = Some(Instant::now());
        let message = format!(
            "out of places for databases: all {} are in use, and {} databases are served from rows, without maintenance",
            shared.databases.len(),
            self.without_place
        );
        pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message, "")
            .set_hint("You might need to increase session_timeout.max_databases.")
            .report(PgLogLevel::LOG);
    }
}

/// Forgets a database that was not found, unless a database was created with its OID since. DROP DATABASE itself does so, but
/// not if it is replayed on a standby. Returns false if that could not be found out.
fn forget_if_gone(shared: &'static Shared, oid: Oid) -> bool {
    in_transaction(|| {
        // A process that connects to it holds this lock meanwhile.
        let is_locked = lock_database(oid);
        if is_locked && !connectable_databases().iter().any(|(other, _)| *other == oid) {
            databases::forget_dropped(shared, oid);
        }
        is_locked
    })
    .unwrap_or(false)
}

/// Keeps everybody from connecting to a database until the end of the transaction, unless somebody is just doing so.
fn lock_database(oid: Oid) -> bool {
    try_lock_shared_object(pg_sys::DatabaseRelationId, oid)
}

/// Runs `work` in a transaction. `None` if that fails, as it does if somebody has locked `pg_database`; the first of several
/// failures in a row is logged. Workers go on meanwhile.
fn in_transaction<R>(work: impl FnOnce() -> R) -> Option<R> {
    static IS_LOGGED: AtomicBool = AtomicBool::new(false);
    PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: not in a transaction.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            let result = work();
            pg_sys::CommitTransactionCommand();
            IS_LOGGED.store(false, Relaxed);
            Some(result)
        }
    }))
    .catch_others(|error| {
        abort();
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        if !IS_LOGGED.swap(true, Relaxed) {
            let message = format!("could not scan pg_database: {}", report.message());
            pg_sys::panic::ErrorReport::new(report.sql_error_code(), message, "")
                .set_hint("The launcher retries. It continues to serve the databases that it knows.")
                .report(PgLogLevel::LOG);
        }
        None
    })
    .execute()
}

/// Every database as of the newest commit, and whether it accepts connections. Within a transaction.
fn connectable_databases() -> Vec<(Oid, bool)> {
    let mut found = Vec::new();
    accept_invalidations();
    // SAFETY: within a transaction: a scan of a shared catalog, as autovacuum's launcher makes it.
    unsafe {
        let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, mode);
        let scan = pg_sys::table_beginscan_catalog(catalog, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            found.push((
                (*form).oid,
                (*form).datallowconn && (*form).datconnlimit != INVALID_DATABASE,
            ));
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(catalog, mode);
    }
    found
}

/// `DATCONNLIMIT_INVALID_DB`: a DROP DATABASE was interrupted.
const INVALID_DATABASE: i32 = -2;

/// Starts workers for the databases in which something is due, the most urgent first. Returns when something is due next.
fn start_what_is_due(shared: &'static Shared, running: &mut Vec<Running>, databases: &Databases, now: i64) -> i64 {
    let mut due: Vec<(i64, Registered)> = databases::registered(shared)
        .filter(|place| !running.iter().any(|one| one.place.oid() == place.oid()))
        .map(|place| {
            let pause = now.saturating_add(databases.pause(place.oid()));
            let due = due_at(place.database, now);
            // Unless there is a pause, what has been due for longest comes first.
            (if pause > now { due.max(pause) } else { due }, place)
        })
        .collect();
    due.sort_by_key(|(at, _)| *at);
    for (at, place) in due {
        if at > now {
            return at;
        }
        if running.len() >= guc::max_workers() {
            // A worker that ends wakes the launcher.
            return i64::MAX;
        }
        let ended_before = place.database.ended.load(Acquire);
        match start_worker(place.oid()) {
            Some(handle) => running.push(Running {
                place,
                process: Process::Own { handle, ended_before },
                since: Instant::now(),
                is_told_to_end: false,
            }),
            None => {
                if shared.control.workers_refused.fetch_add(1, Relaxed) == 0 {
                    pg_sys::panic::ErrorReport::new(
                        PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
                        "could not start session maintenance worker: out of background worker slots",
                        "",
                    )
                    .set_hint("You might need to increase max_worker_processes.")
                    .report(PgLogLevel::LOG);
                }
                return now.saturating_add(1_000_000);
            }
        }
        shared.control.workers_refused.store(0, Relaxed);
    }
    i64::MAX
}

/// When a worker is due for a database, by a clock that says `now`. Times of a clock that was ahead do not count.
fn due_at(database: &Database, now: i64) -> i64 {
    let failures = database.failures.load(Acquire);
    let last = match database.last_pass.load(Acquire) {
        last if is_ahead(last, now) => i64::MIN,
        last => last,
    };
    let not_before = match database.not_before.load(Acquire) {
        i64::MAX => i64::MAX,
        until if is_ahead(until, now.saturating_add(MAX_BACKOFF)) => i64::MIN,
        until => until,
    };
    let wished = match database.presence() {
        Presence::Unknown => i64::MIN,
        Presence::Absent => return i64::MAX,
        Presence::Installed if database.is_urgent() => i64::MIN,
        Presence::Installed => {
            let flush = if database.is_dirty() {
                database.flush.next(now).min(database.early_flush())
            } else {
                i64::MAX
            };
            flush.min(database.next_purge(now))
        }
    };
    let pause = match failures {
        0 => PAUSE,
        // 1 s, 2 s, 4 s, …
        n => backoff(1_000_000, n),
    };
    wished.max(last.saturating_add(pause)).max(not_before)
}

fn start_worker(oid: Oid) -> Option<*mut pg_sys::BackgroundWorkerHandle> {
    let mut worker = background::worker(c"session_timeout worker", c"ist_worker_main");
    worker.bgw_flags |= background::BGWORKER_INTERRUPTIBLE as i32;
    worker.bgw_main_arg = oid.into();
    let mut handle = std::ptr::null_mut();
    // SAFETY: PostgreSQL sets our latch when the worker starts and ends; the handle lives in the top memory context.
    unsafe {
        worker.bgw_notify_pid = pg_sys::MyProcPid;
        pgrx::PgMemoryContexts::TopMemoryContext
            .switch_to(|_| pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle))
            .then_some(handle)
    }
}

/// The workers that an earlier launcher has started, and that still run.
fn take_over(shared: &'static Shared) -> Vec<Running> {
    let mut running = Vec::new();
    for place in databases::registered(shared) {
        let pid = place.database.worker.load(Acquire);
        if pid == 0 {
            continue;
        }
        if is_alive(pid) {
            running.push(Running {
                place,
                process: Process::Inherited { pid },
                since: Instant::now(),
                is_told_to_end: false,
            });
        } else {
            // It has just ended.
            let _ = place.with(shared, |database| {
                database.worker.compare_exchange(pid, 0, AcqRel, Acquire).is_ok()
            });
        }
    }
    running
}

/// Whether a worker still runs. Tells one that takes too long to end.
fn still_runs(shared: &'static Shared, one: &mut Running) -> bool {
    let runs = match one.process {
        Process::Own { handle, .. } => {
            let mut pid = 0;
            // SAFETY: a handle of ours, not freed yet.
            unsafe { pg_sys::GetBackgroundWorkerPid(handle, &mut pid) != pg_sys::BgwHandleStatus::BGWH_STOPPED }
        }
        // It unregisters itself when it ends.
        Process::Inherited { pid } => one.place.has_worker(pid) && is_alive(pid),
    };
    if runs {
        if !one.is_told_to_end && one.since.elapsed() >= LONGEST_RUN {
            one.is_told_to_end = true;
            match one.process {
                // SAFETY: as above.
                Process::Own { handle, .. } => unsafe { pg_sys::TerminateBackgroundWorker(handle) },
                Process::Inherited { pid } => terminate(pid),
            }
        }
        return true;
    }
    // One that was never started has not counted itself as ended.
    let mut was_started = true;
    if let Process::Own { handle, ended_before } = one.process {
        // SAFETY: as above; it is not used any more.
        unsafe { pg_sys::pfree(handle.cast()) };
        was_started = one.place.database.ended.load(Acquire) != ended_before;
    }
    if one.is_told_to_end || !was_started {
        let now = clock::now().micros();
        let code = PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32;
        let is_first = one.place.with(shared, |database| {
            database.has_failed(code);
            database.last_pass.store(now, Release);
            one.is_told_to_end && database.failure_logged.swap(1, AcqRel) == 0
        });
        if is_first == Some(true) {
            log_too_long(one.place.oid());
        }
    }
    false
}

fn log_too_long(oid: Oid) {
    let message = format!(
        "terminated session maintenance worker of database with OID {}: it had not finished after {} s",
        u32::from(oid),
        LONGEST_RUN.as_secs()
    );
    pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN, message, "")
        .set_hint("Maintenance is retried. The view session_timeout.stat_worker shows the number of failures.")
        .report(PgLogLevel::LOG);
}
