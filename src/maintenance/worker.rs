//! A worker: one process, one database, one pass.
//!
//! It sets its own environment, as autovacuum's workers do, so that settings of a database or a role have no effect on it. It
//! works as the owner of the session table, security-restricted, with `pg_catalog` as its search path.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::context::Ended;
use super::limits::limit_lock_waits;
use super::pass::{self, Failure};
use crate::pg::backend_local::BackendLocal;
use crate::pg::background::{self, is_alive, my_pid, set_config};
use crate::pg::{clock, compat};
use crate::shared::database::{Database, Presence};
use crate::shared::databases::{self, Registered};
use crate::shared::schedule::LATER;
use crate::shared::{self, Shared};

/// The main function of the worker, by the name in its registration. The argument is the OID of the database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ist_worker_main(argument: pg_sys::Datum) {
    let oid = Oid::from(argument.value() as u32);
    let Some(shared) = shared::get() else { return };
    // None if the database was dropped after this worker was started.
    let Some(place) = databases::find(shared, oid) else {
        return;
    };
    // SAFETY: the main function of a background worker, in its order. SIGTERM ends it at its next check for interrupts. The
    // exit callback is registered before the state that it cleans up.
    unsafe {
        background::pqsignal(background::SIGTERM, Some(background::die));
        PREVIOUS_LOG = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(on_log);
        pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::from(0_usize));
    }
    if !register(shared, place) {
        return;
    }
    // SAFETY: as above.
    unsafe {
        pg_sys::BackgroundWorkerUnblockSignals();
        // Before it connects, which is a transaction too.
        set_environment();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(oid, Oid::INVALID, 0);
    }
    CONNECTED.store(true, Relaxed);
    // From here on nobody can drop the database.
    if databases::current(shared).is_some_and(|current| std::ptr::eq(current, place.database)) {
        run(shared, place);
    }
}

/// Registers as the worker of its database, so that a launcher that is started meanwhile finds it. Returns false if the
/// database has one already.
fn register(shared: &'static Shared, place: Registered) -> bool {
    let me = my_pid();
    let other = place.database.worker.load(Acquire);
    if other != 0 && is_alive(other) {
        return false;
    }
    let has_registered = |database: &Database| database.worker.compare_exchange(other, me, AcqRel, Acquire).is_ok();
    let is_in = place.with(shared, has_registered) == Some(true);
    if is_in {
        PLACE.set(Some(place));
    }
    is_in
}

/// Where it has registered.
static PLACE: BackendLocal<Cell<Option<Registered>>> = BackendLocal::new(Cell::new(None));

/// It is connected to its database.
static CONNECTED: AtomicBool = AtomicBool::new(false);

/// The SQLSTATE of the error that ends it.
static LAST_ERROR: AtomicI32 = AtomicI32::new(0);

/// It has taken things off the list of what there is to do, and has not ended its pass.
static UNFINISHED: AtomicBool = AtomicBool::new(false);

static mut PREVIOUS_LOG: pg_sys::emit_log_hook_type = None;

/// Keeps errors out of the log that are expected: the worker is told to end, or its database is dropped, moved or closed
/// before it has connected.
#[pg_guard]
unsafe extern "C-unwind" fn on_log(message: *mut pg_sys::ErrorData) {
    // SAFETY: the message that PostgreSQL is about to write.
    unsafe {
        if (*message).elevel >= PgLogLevel::ERROR as i32 {
            let code = (*message).sqlerrcode;
            LAST_ERROR.store(code, Relaxed);
            let is_expected =
                code == TERMINATED || !CONNECTED.load(Relaxed) && [NO_DATABASE, LOCKED, NOT_ACCEPTING].contains(&code);
            if is_expected {
                (*message).output_to_server = false;
                return;
            }
        }
        if let Some(previous) = PREVIOUS_LOG {
            pg_sys::ffi::pg_guard_ffi_boundary(|| previous(message));
        }
    }
}

const TERMINATED: i32 = PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32;
const NO_DATABASE: i32 = PgSqlErrorCode::ERRCODE_INVALID_CATALOG_NAME as i32;
const LOCKED: i32 = PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE as i32;
const NOT_ACCEPTING: i32 = PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE as i32;

/// However the worker ends: puts back what it has not done.
#[pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: i32, _argument: pg_sys::Datum) {
    let (Some(shared), Some(place)) = (shared::get(), PLACE.get()) else {
        return;
    };
    let now = clock::now().micros();
    place.with(shared, |database| {
        if UNFINISHED.load(Relaxed) {
            database.set_dirty();
            database.set_urgent();
        }
        if !CONNECTED.load(Relaxed) {
            match LAST_ERROR.load(Relaxed) {
                LOCKED => database.was_locked(now, LOCKED),
                TERMINATED | NO_DATABASE => database.not_before.store(now.saturating_add(LATER), Release),
                code => database.has_failed(code),
            }
        }
        database.last_pass.store(now, Release);
        database.ended.fetch_add(1, AcqRel);
        database.worker.store(0, Release);
    });
    shared.control.wake_launcher();
}

fn run(shared: &'static Shared, place: Registered) {
    let database = place.database;
    UNFINISHED.store(true, Relaxed);
    let installations = database.installations();
    database.take_urgent();
    let was_dirty = database.take_dirty();
    let result = pass::run(shared, database, was_dirty);
    let found = |presence| databases::set_presence(shared, place, installations, presence);
    match result {
        Ok(Ended::NotInstalled) => found(Presence::Absent),
        Ok(Ended::Later) => {
            // Others have locked something: a little later.
            found(Presence::Installed);
            database.has_succeeded();
            database
                .not_before
                .store(clock::now().micros().saturating_add(LATER), Release);
            database.set_dirty();
            database.set_urgent();
        }
        Ok(Ended::Done) => {
            found(Presence::Installed);
            database.has_succeeded();
        }
        Ok(Ended::More) => {
            found(Presence::Installed);
            database.has_succeeded();
            database.set_urgent();
        }
        // The exit callback puts back what was not done.
        Err(failure) if failure.is_lock_wait() => {
            database.was_locked(clock::now().micros(), failure.code as i32);
            return;
        }
        Err(failure) => {
            report(database, failure);
            return;
        }
    }
    UNFINISHED.store(false, Relaxed);
}

/// Counts a failure, and logs the first of several in a row.
fn report(database: &Database, Failure { code, message }: Failure) {
    database.has_failed(code as i32);
    if database.failure_logged.swap(1, AcqRel) == 0 {
        pg_sys::panic::ErrorReport::new(code, format!("session maintenance failed: {message}"), "")
            .set_hint("Maintenance is retried. The view session_timeout.stat_worker shows the number of failures.")
            .report(PgLogLevel::LOG);
    }
}

fn set_environment() {
    const SETTINGS: &[(&CStr, &CStr)] = &[
        (c"search_path", c"pg_catalog"),
        (c"default_transaction_isolation", c"read committed"),
        (c"default_transaction_read_only", c"false"),
        (c"default_transaction_deferrable", c"false"),
        (c"statement_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        (c"synchronous_commit", c"local"),
        (c"zero_damaged_pages", c"false"),
        (c"session_replication_role", c"origin"),
    ];
    for (name, value) in SETTINGS.iter().chain(compat::LATER_SETTINGS) {
        set_config(name, value);
    }
    limit_lock_waits();
}
