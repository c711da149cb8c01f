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

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::clock_watch::ClockWatch;

use super::database_list::{Databases, forget_vanished};
use super::limits::{LONGEST_RUN, PAUSE, limit_lock_waits};
use crate::guc;
use crate::pg::background::{self, is_alive, terminate};
use crate::pg::clock;
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
