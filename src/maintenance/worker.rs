//! A worker: one process, one database, one pass.
//!
//! It sets its own environment, as autovacuum's workers do, so that nothing set for a database or a role bears on it; it
//! does its work as the owner of the session table, security-restricted, with `pg_catalog` as its search path.

use std::ffi::CStr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::pass::{self, Failure};
use super::{LATER, signal};
use crate::clock;
use crate::shared::database::{self, Database, Presence};
use crate::shared::{self, Shared};

/// The worker's main function, by the name that its registration says. The argument is the database's OID.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ist_worker_main(argument: pg_sys::Datum) {
    let oid = Oid::from(argument.value() as u32);
    let Some(shared) = shared::get() else { return };
    // SAFETY: the main function of a background worker, in its order. SIGTERM ends it at once, wherever it is.
    unsafe {
        signal::pqsignal(signal::SIGTERM, Some(signal::die));
        pg_sys::BackgroundWorkerUnblockSignals();
        // Before it connects: that is a transaction, too.
        set_environment();
        pg_sys::BackgroundWorkerInitializeConnectionByOid(oid, Oid::INVALID, 0);
    }
    let Some(database) = database::mine(shared) else {
        return;
    };
    // SAFETY: registered before the state that it cleans.
    unsafe {
        pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::from(0_usize));
        database.worker.store(pg_sys::MyProcPid as u32, Release);
    }
    run(shared, database);
}

/// A pass that has taken things off the list of what there is to do, and has not ended.
static UNFINISHED: AtomicBool = AtomicBool::new(false);

/// However the worker ends: what it had not done is to be done.
#[pg_guard]
unsafe extern "C-unwind" fn on_exit(_code: i32, _argument: pg_sys::Datum) {
    let Some(shared) = shared::get() else { return };
    // SAFETY: a plain read.
    let me = unsafe { pg_sys::MyDatabaseId };
    if let Some(database) = shared.databases.iter().find(|one| one.oid() == me) {
        if UNFINISHED.load(Relaxed) {
            database.set_dirty();
            database.set_urgent();
        }
        database.last_pass.store(clock::now().micros(), Release);
        database.ended.fetch_add(1, AcqRel);
        database.worker.store(0, Release);
    }
    shared.control.wake_launcher();
}

fn run(shared: &'static Shared, database: &'static Database) {
    UNFINISHED.store(true, Relaxed);
    let installations = database.installations();
    database.take_urgent();
    let was_dirty = database.take_dirty();
    let result = pass::run(shared, database, was_dirty);
    let found = |presence| {
        database.set_presence(presence);
        // Created or dropped while we were at it: look again.
        if database.installations() != installations {
            database.set_presence(Presence::Unknown);
        }
    };
    match result {
        Ok(pass::Ended::NotInstalled) => found(Presence::Absent),
        Ok(pass::Ended::Later) => {
            // What is another's now: a little later, so as not to come for nothing all the time.
            found(Presence::Installed);
            succeeded(database);
            database
                .not_before
                .store(clock::now().micros().saturating_add(LATER), Release);
            database.set_dirty();
            database.set_urgent();
        }
        Ok(pass::Ended::Done) => {
            found(Presence::Installed);
            succeeded(database);
        }
        Ok(pass::Ended::More) => {
            found(Presence::Installed);
            succeeded(database);
            database.set_urgent();
        }
        Err(failure) => {
            failed(database, failure);
            return;
        }
    }
    UNFINISHED.store(false, Relaxed);
}

/// A streak of failures, if there was one, is over.
fn succeeded(database: &Database) {
    database.failures.store(0, Release);
    database.failure_said.store(0, Release);
}

/// Counts a failure, and says it once a streak.
fn failed(database: &Database, Failure { code, message }: Failure) {
    database.last_error.store(code as i32 as u32, Release);
    database.failures.fetch_add(1, AcqRel);
    if database.failure_said.swap(1, AcqRel) == 0 {
        pg_sys::panic::ErrorReport::new(code, format!("session maintenance failed: {message}"), "")
            .set_hint("It is tried again, after a while; session_timeout.stat_worker shows how often it has failed.")
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
        (c"lock_timeout", c"0"),
        (c"idle_in_transaction_session_timeout", c"0"),
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        (c"transaction_timeout", c"0"),
        (c"synchronous_commit", c"local"),
        (c"zero_damaged_pages", c"false"),
        (c"session_replication_role", c"origin"),
    ];
    for (name, value) in SETTINGS {
        // SAFETY: settings that every supported version has.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}
