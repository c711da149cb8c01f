//! The launcher: decides which database needs a worker, and starts it.
//!
//! A database's state, for the launcher, is what shared memory says of it:
//!
//! | state | what it does |
//! | --- | --- |
//! | unknown (new, or told by CREATE or DROP EXTENSION) | starts a worker, which looks |
//! | has the extension | starts a worker when something is due |
//! | has it not | frees its place |
//! | vanished from `pg_database` | forgets its sessions and its place, which DROP DATABASE has done where it was not replayed |
//!
//! After a failed pass it waits, each time twice as long, a minute at most. A worker that takes too long is told to end, which
//! is a failed pass, too. A launcher that is started again takes over the workers that run. A database whose extension is there, but not whole
//! (a table renamed, say), fails, and so is looked at again by itself.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::{
    LONGEST_BACKOFF, LONGEST_RUN, PAUSE, background_worker, backoff, bound_lock_waits, end_worker, is_alive, signal,
};
use crate::shared::database::{self, Database, Presence, Registered, is_ahead};
use crate::shared::{self, Shared};
use crate::{clock, guc};

/// The shortest nap, in milliseconds.
const SHORTEST_NAP: i64 = 100;

/// A worker that runs, as far as is known.
struct Running {
    place: Registered,
    process: Process,
    /// Since when, by a clock that nobody sets.
    at: Instant,
    /// It took too long, and was told so.
    is_told_to_end: bool,
}

enum Process {
    /// This launcher has started it.
    Own {
        handle: *mut pg_sys::BackgroundWorkerHandle,
        /// How many workers had ended there before.
        ended_before: u32,
    },
    /// A launcher before this one has.
    Inherited { pid: u32 },
}

/// The launcher's main function, by the name that its registration says.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ist_launcher_main(_argument: pg_sys::Datum) {
    let Some(shared) = shared::get() else { return };
    // SAFETY: the main function of a background worker, in its order: handlers, signals, connection.
    unsafe {
        signal::pqsignal(signal::SIGHUP, Some(signal::SignalHandlerForConfigReload));
        signal::pqsignal(signal::SIGTERM, Some(signal::SignalHandlerForShutdownRequest));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
    shared::snapshot::consume();
    // SAFETY: likewise.
    unsafe {
        bound_lock_waits();
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
        running.retain_mut(|one| still_runs(shared, one));
        if databases.release(shared) && databases.without_place > 0 {
            // Others are waiting for a place.
            next_look = now;
        }
        // What a worker does may be what the server crashed of: it is not to crash again at once, so that there is time to
        // do something about it.
        let resting = shared::has_crashed() && begun.elapsed() < Duration::from_secs(guc::naptime() as u64);
        let next = if resting {
            next_look
        } else {
            start_what_is_due(shared, &mut running, &databases, now).min(next_look)
        };
        let mut nap = (next.saturating_sub(now) / 1000).clamp(SHORTEST_NAP, guc::naptime() * 1000);
        for one in running.iter().filter(|one| !one.is_told_to_end) {
            let left = LONGEST_RUN.saturating_sub(one.at.elapsed());
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

/// Forgets sessions of databases that vanished before anybody here knew them: from the time as a standby, or from before the
/// last shutdown. False where that is to be tried again.
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

/// What the launcher remembers of databases that have no place in the list.
#[derive(Default)]
struct Databases {
    /// Those that were found without the extension, and when. CREATE EXTENSION gives them a place again.
    absent: HashMap<u32, Instant>,
    /// How many databases had been dropped by then: one that is made anew under the OID of another may have the extension.
    dropped: u32,
    /// How many others have no place.
    without_place: usize,
    /// When that was last said in the log.
    said: Option<Instant>,
}

impl Databases {
    /// Takes in new databases and forgets vanished ones.
    fn look(&mut self, shared: &'static Shared) {
        let dropped = shared.control.databases_dropped.load(Acquire);
        if dropped != self.dropped {
            self.absent.clear();
            self.dropped = dropped;
        }
        // Those that were known before the look: a database that is new since is not in what was seen.
        let before: Vec<Registered> = database::registered(shared).collect();
        let Some(present) = in_transaction(connectable_databases) else {
            return;
        };
        let present: HashMap<u32, bool> = present.into_iter().map(|(oid, is)| (oid.into(), is)).collect();
        for known in before {
            if present.contains_key(&known.oid().into()) {
                known.with(shared, Database::is_watched);
            } else {
                forget_if_gone(shared, known.oid());
            }
        }
        self.absent.retain(|oid, _| present.contains_key(oid));
        self.without_place = 0;
        for (oid, connectable) in present {
            let known = database::find(shared, Oid::from(oid));
            if !connectable {
                if let Some(known) = known {
                    // Until it takes connections again.
                    known.database.not_before.store(i64::MAX, Release);
                }
            } else if known.is_some() || !self.absent.contains_key(&oid) {
                match database::enter(shared, Oid::from(oid)) {
                    Some(database) => {
                        let _ = database
                            .not_before
                            .compare_exchange(i64::MAX, i64::MIN, AcqRel, Acquire);
                    }
                    None => self.without_place += 1,
                }
            }
        }
        self.say_full(shared);
    }

    /// Frees the places of databases that were found without the extension: whether there were any.
    fn release(&mut self, shared: &'static Shared) -> bool {
        let mut is_any = false;
        for place in database::registered(shared) {
            if place.database.presence() == Presence::Absent && database::release_absent(shared, place) {
                self.absent.insert(place.oid().into(), Instant::now());
                is_any = true;
            }
        }
        is_any
    }

    /// How long a database is to be left alone yet that was just found without the extension, in microseconds.
    fn pause(&self, oid: Oid) -> i64 {
        let seen = self.absent.get(&oid.into());
        seen.map_or(0, |at| PAUSE.saturating_sub(at.elapsed().as_micros() as i64).max(0))
    }

    /// Says that there are too many databases, once an hour at most: when those that have places have been looked at, so that
    /// none of them is about to give up its own.
    fn say_full(&mut self, shared: &'static Shared) {
        const AN_HOUR: Duration = Duration::from_secs(3600);
        if self.without_place == 0 || self.said.is_some_and(|at| at.elapsed() < AN_HOUR) {
            return;
        }
        let is_settled = database::registered(shared).all(|place| {
            place.database.presence() != Presence::Absent && place.database.last_pass.load(Acquire) != i64::MIN
        });
        if !is_settled {
            return;
        }
        self.said = Some(Instant::now());
        let message = format!(
            "all {} places for databases are taken: {} databases have none; what sessions they have are served from their \
             rows, without maintenance",
            shared.databases.len(),
            self.without_place
        );
        pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message, "")
            .set_hint("Raise session_timeout.max_databases.")
            .report(PgLogLevel::LOG);
    }
}

/// Forgets a database that was not there, unless one has been made under its OID since. DROP DATABASE itself has done so,
/// but not where it was replayed on a standby. False where that could not be found out.
fn forget_if_gone(shared: &'static Shared, oid: Oid) -> bool {
    in_transaction(|| {
        // Who connects to it, holds this lock meanwhile.
        let is_locked = lock_database(oid);
        if is_locked && !connectable_databases().iter().any(|(other, _)| *other == oid) {
            database::forget_dropped(shared, oid);
        }
        is_locked
    })
    .unwrap_or(false)
}

/// Keeps everybody from connecting to a database until the end of the transaction, if nobody is just doing so.
fn lock_database(oid: Oid) -> bool {
    let tag = pg_sys::LOCKTAG {
        // As LockSharedObject does.
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.into(),
        locktag_field3: oid.into(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: within a transaction, which releases it at its end; does not wait.
    unsafe { pg_sys::LockAcquire(&tag, mode, false, true) != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL }
}

/// Runs `work` in a transaction; `None` where that fails, as it does where somebody has locked `pg_database`. Workers go on
/// meanwhile; it is said in the log once in a row of failures.
fn in_transaction<R>(work: impl FnOnce() -> R) -> Option<R> {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: not in a transaction.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            let result = work();
            pg_sys::CommitTransactionCommand();
            IS_SAID.store(false, Relaxed);
            Some(result)
        }
    }))
    .catch_others(|error| {
        // SAFETY: an ERROR was caught: its transaction is to be rolled back.
        unsafe { pg_sys::AbortCurrentTransaction() };
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        if !IS_SAID.swap(true, Relaxed) {
            let message = format!("could not look for new and dropped databases: {}", report.message());
            pg_sys::panic::ErrorReport::new(report.sql_error_code(), message, "")
                .set_hint("It is tried again. Databases that are known are served meanwhile.")
                .report(PgLogLevel::LOG);
        }
        None
    })
    .execute()
}

/// Every database, by the newest commit, and whether one can connect to it. Within a transaction.
fn connectable_databases() -> Vec<(Oid, bool)> {
    let mut found = Vec::new();
    // SAFETY: within a transaction: a scan of a shared catalog as autovacuum's launcher makes it.
    unsafe {
        pg_sys::AcceptInvalidationMessages();
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

/// `DATCONNLIMIT_INVALID_DB`: a DROP DATABASE that did not end.
const INVALID_DATABASE: i32 = -2;

/// Starts workers for the databases where something is due, most urgent first: when something is due next.
fn start_what_is_due(shared: &'static Shared, running: &mut Vec<Running>, databases: &Databases, now: i64) -> i64 {
    let mut due: Vec<(i64, Registered)> = database::registered(shared)
        .filter(|place| !running.iter().any(|one| one.place.oid() == place.oid()))
        .map(|place| {
            let pause = now.saturating_add(databases.pause(place.oid()));
            let due = due_at(place.database, now);
            // Only where there is a pause: what is due for longest comes first.
            (if pause > now { due.max(pause) } else { due }, place)
        })
        .collect();
    due.sort_by_key(|(at, _)| *at);
    for (at, place) in due {
        if at > now {
            return at;
        }
        if running.len() >= guc::max_workers() {
            // One that ends wakes us.
            return i64::MAX;
        }
        let ended_before = place.database.ended.load(Acquire);
        match start_worker(place.oid()) {
            Some(handle) => running.push(Running {
                place,
                process: Process::Own { handle, ended_before },
                at: Instant::now(),
                is_told_to_end: false,
            }),
            None => {
                if shared.control.workers_refused.fetch_add(1, Relaxed) == 0 {
                    pg_sys::panic::ErrorReport::new(
                        PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
                        "no background worker slot is free: session maintenance waits",
                        "",
                    )
                    .set_hint("Raise max_worker_processes.")
                    .report(PgLogLevel::LOG);
                }
                return now.saturating_add(1_000_000);
            }
        }
        shared.control.workers_refused.store(0, Relaxed);
    }
    i64::MAX
}

/// When a worker is due for a database, by a clock that says `now`. Times that one told which was ahead count for nothing.
fn due_at(database: &Database, now: i64) -> i64 {
    let failures = database.failures.load(Acquire);
    let last = match database.last_pass.load(Acquire) {
        last if is_ahead(last, now) => i64::MIN,
        last => last,
    };
    let not_before = match database.not_before.load(Acquire) {
        i64::MAX => i64::MAX,
        until if is_ahead(until, now.saturating_add(LONGEST_BACKOFF)) => i64::MIN,
        until => until,
    };
    let wished = match database.presence() {
        Presence::Unknown => i64::MIN,
        Presence::Absent => return i64::MAX,
        Presence::Installed if database.is_urgent() => i64::MIN,
        Presence::Installed => {
            let flush = if database.is_dirty() {
                database.flush.next(now)
            } else {
                i64::MAX
            };
            flush.min(database.purge.next(now))
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
    let mut worker = background_worker(c"session_timeout worker", c"ist_worker_main");
    worker.bgw_main_arg = oid.into();
    let mut handle = std::ptr::null_mut();
    // SAFETY: the launcher is told by its latch when the worker starts and ends; the handle lives in the top context.
    unsafe {
        worker.bgw_notify_pid = pg_sys::MyProcPid;
        pgrx::PgMemoryContexts::TopMemoryContext
            .switch_to(|_| pg_sys::RegisterDynamicBackgroundWorker(&mut worker, &mut handle))
            .then_some(handle)
    }
}

/// The workers that a launcher before this one has started, and that still run.
fn take_over(shared: &'static Shared) -> Vec<Running> {
    let mut running = Vec::new();
    for place in database::registered(shared) {
        let pid = place.database.worker.load(Acquire);
        if pid == 0 {
            continue;
        }
        if is_alive(pid) {
            running.push(Running {
                place,
                process: Process::Inherited { pid },
                at: Instant::now(),
                is_told_to_end: false,
            });
        } else {
            // It has ended just now.
            let _ = place.with(shared, |database| {
                database.worker.compare_exchange(pid, 0, AcqRel, Acquire).is_ok()
            });
        }
    }
    running
}

/// Whether a worker has not ended yet. One that takes too long is told to end.
fn still_runs(shared: &'static Shared, one: &mut Running) -> bool {
    let runs = match one.process {
        Process::Own { handle, .. } => {
            let mut pid = 0;
            // SAFETY: a handle of ours, not freed yet.
            unsafe { pg_sys::GetBackgroundWorkerPid(handle, &mut pid) != pg_sys::BgwHandleStatus::BGWH_STOPPED }
        }
        // It says itself when it ends.
        Process::Inherited { pid } => one.place.has_worker(pid) && is_alive(pid),
    };
    if runs {
        if !one.is_told_to_end && one.at.elapsed() >= LONGEST_RUN {
            one.is_told_to_end = true;
            match one.process {
                // SAFETY: likewise.
                Process::Own { handle, .. } => unsafe { pg_sys::TerminateBackgroundWorker(handle) },
                Process::Inherited { pid } => end_worker(pid),
            }
        }
        return true;
    }
    // One that was not even started has not said that it ended.
    let mut was_started = true;
    if let Process::Own { handle, ended_before } = one.process {
        // SAFETY: likewise; it is used no more.
        unsafe { pg_sys::pfree(handle.cast()) };
        was_started = one.place.database.ended.load(Acquire) != ended_before;
    }
    if one.is_told_to_end || !was_started {
        let now = clock::now().micros();
        let code = PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32;
        let is_news = one.place.with(shared, |database| {
            database.has_failed(code);
            database.last_pass.store(now, Release);
            one.is_told_to_end && database.failure_said.swap(1, AcqRel) == 0
        });
        if is_news == Some(true) {
            say_too_long(one.place.oid());
        }
    }
    false
}

fn say_too_long(oid: Oid) {
    let message = format!(
        "session maintenance worker for database with OID {} was ended: it had not finished after {} s",
        u32::from(oid),
        LONGEST_RUN.as_secs()
    );
    pg_sys::panic::ErrorReport::new(PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN, message, "")
        .set_hint("It is tried again, after a while; session_timeout.stat_worker shows how often it has failed.")
        .report(PgLogLevel::LOG);
}
