//! The launcher: decides which database needs a worker, and starts it.
//!
//! A database's state, for the launcher, is what shared memory says of it:
//!
//! | state | what it does |
//! | --- | --- |
//! | unknown (new, or told by CREATE or DROP EXTENSION) | starts a worker, which looks |
//! | has the extension | starts a worker when something is due |
//! | has it not | nothing |
//! | vanished from `pg_database` | forgets its sessions and its place, which DROP DATABASE has done where it was not replayed |
//!
//! After a failed pass it waits, each time twice as long, a minute at most. A database whose extension is there, but not whole
//! (a table renamed, say), fails, and so is looked at again by itself.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::{LATER, PAUSE, background_worker, signal};
use crate::shared::database::{self, Database, Presence, Registered, is_ahead};
use crate::shared::{self, Shared};
use crate::{clock, guc};

/// The shortest nap, in milliseconds.
const SHORTEST_NAP: i64 = 100;

/// The longest wait after failures, in microseconds: a database is served again within a minute of its being whole.
const LONGEST_BACKOFF: i64 = 60_000_000;

/// How long a worker may take to connect to its database. Whoever copies or moves one keeps everybody from connecting to it,
/// and a worker that waited for the end of that would keep its place from those of other databases.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// A worker that was started, until it is known to have ended.
struct Started {
    database: Oid,
    /// How many workers had ended there before.
    ended_before: u32,
    handle: *mut pg_sys::BackgroundWorkerHandle,
    /// When, by a clock that nobody sets.
    at: Instant,
    /// It was told to give up waiting for its database.
    is_given_up: bool,
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
        pg_sys::BackgroundWorkerInitializeConnection(std::ptr::null(), std::ptr::null(), 0);
        pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::from(0_usize));
        shared.control.set_launcher(pg_sys::MyLatch);
    }
    forget_vanished(shared);
    let mut started: Vec<Started> = Vec::new();
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
            look_at_databases(shared);
            next_look = looked.saturating_add(naptime);
        }
        let now = clock::now().micros();
        started.retain_mut(is_running);
        // What a worker does may be what the server crashed of: it is not to crash again at once, so that there is time to
        // do something about it.
        let resting = shared::has_crashed() && begun.elapsed() < Duration::from_secs(guc::naptime() as u64);
        let next = if resting {
            next_look
        } else {
            start_what_is_due(shared, &mut started, now).min(next_look)
        };
        let mut nap = (next.saturating_sub(now) / 1000).clamp(SHORTEST_NAP, guc::naptime() * 1000);
        if started.iter().any(|one| !one.is_given_up) {
            nap = nap.min(LONGEST_CONNECT.as_millis() as i64);
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
/// last shutdown.
fn forget_vanished(shared: &'static Shared) {
    let mut known: Vec<u32> = in_transaction(connectable_databases)
        .iter()
        .map(|(oid, _)| (*oid).into())
        .collect();
    while let Some(other) = shared.registry.database_other_than(&known) {
        forget_if_gone(shared, Oid::from(other));
        known.push(other);
    }
}

/// Takes in new databases and forgets vanished ones.
fn look_at_databases(shared: &'static Shared) {
    // Those that were known before the look: a database that is new since is not in what was seen.
    let before: Vec<Registered> = database::registered(shared).collect();
    let present = in_transaction(connectable_databases);
    for known in before {
        if !present.contains(&(known.oid(), true)) && !present.contains(&(known.oid(), false)) {
            forget_if_gone(shared, known.oid());
        } else {
            known.with(shared, Database::is_watched);
        }
    }
    for (oid, connectable) in present {
        if connectable {
            if let Some(database) = database::enter(shared, oid) {
                let _ = database
                    .not_before
                    .compare_exchange(i64::MAX, i64::MIN, AcqRel, Acquire);
            }
        } else if let Some(known) = shared.databases.iter().find(|known| known.oid() == oid) {
            // Until it takes connections again.
            known.not_before.store(i64::MAX, Release);
        }
    }
}

/// Forgets a database that was not there, unless one has been made under its OID since. DROP DATABASE itself has done so,
/// but not where it was replayed on a standby.
fn forget_if_gone(shared: &'static Shared, oid: Oid) {
    in_transaction(|| {
        // Who connects to it, holds this lock meanwhile.
        if lock_database(oid) && !connectable_databases().iter().any(|(other, _)| *other == oid) {
            database::forget_dropped(shared, oid);
        }
    });
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

fn in_transaction<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: not in a transaction.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        let result = work();
        pg_sys::CommitTransactionCommand();
        result
    }
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
fn start_what_is_due(shared: &'static Shared, started: &mut Vec<Started>, now: i64) -> i64 {
    let mut due: Vec<(i64, &Database)> = shared
        .databases
        .iter()
        .filter(|database| database.is_used() && !started.iter().any(|one| one.database == database.oid()))
        .map(|database| (due_at(database, now), database))
        .collect();
    due.sort_by_key(|(at, _)| *at);
    for (at, database) in due {
        if at > now {
            return at;
        }
        if started.len() >= guc::max_workers() {
            // One that ends wakes us.
            return i64::MAX;
        }
        let ended_before = database.ended.load(Acquire);
        match start_worker(database.oid()) {
            Some(handle) => started.push(Started {
                database: database.oid(),
                ended_before,
                handle,
                at: Instant::now(),
                is_given_up: false,
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
        until if is_ahead(until, now.saturating_add(LATER)) => i64::MIN,
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
        n => 1_000_000_i64.saturating_mul(1 << (n - 1).min(20)).min(LONGEST_BACKOFF),
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

/// Whether a worker has not ended yet; frees its handle when it has. One that has not got to its database for too long is
/// told to end.
fn is_running(started: &mut Started) -> bool {
    let place = shared::get().and_then(|shared| shared.databases.iter().find(|one| one.oid() == started.database));
    let mut pid = 0;
    // SAFETY: a handle of ours, not freed yet.
    let status = unsafe { pg_sys::GetBackgroundWorkerPid(started.handle, &mut pid) };
    if status != pg_sys::BgwHandleStatus::BGWH_STOPPED {
        let has_connected = place.is_some_and(|database| database.worker.load(Acquire) != 0);
        if !started.is_given_up && !has_connected && started.at.elapsed() >= LONGEST_CONNECT {
            started.is_given_up = true;
            // SAFETY: likewise.
            unsafe { pg_sys::TerminateBackgroundWorker(started.handle) };
        }
        return true;
    }
    // SAFETY: likewise; it is used no more.
    unsafe { pg_sys::pfree(started.handle.cast()) };
    let Some(database) = place else { return false };
    database.worker.store(0, Release);
    // One that could not even connect has not said that it ended.
    if database.ended.load(Acquire) == started.ended_before {
        let now = clock::now().micros();
        if started.is_given_up {
            database.not_before.store(now.saturating_add(LATER), Release);
        } else {
            database.failures.fetch_add(1, AcqRel);
        }
        database.last_pass.store(now, Release);
    }
    false
}
