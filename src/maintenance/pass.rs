//! One pass over a database: its steps in their order, and what a failure of one does.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use session_timeout_core::time::to_micros;

use super::context::{Ended, PassContext};
use super::limits::PASS;
use super::steps::{expire, flush, purge};
use crate::catalog;
use crate::error::Error;
use crate::params_cache;
use crate::pg::background::sleep;
use crate::pg::relation::Table;
use crate::pg::transaction;
use crate::session::context::Context;
use crate::session::end;
use crate::shared::Shared;
use crate::shared::attached::Attached;
use crate::shared::database::{Database, Presence};

/// How many times, and after how many microseconds each time, the worker tries to send notices that could not be sent.
const NOTICE_TRIES: usize = 10;
const NOTICE_PAUSE: std::ffi::c_long = 20_000;

/// Why a step failed.
pub struct Failure {
    /// SQLSTATE.
    pub code: PgSqlErrorCode,
    /// The message.
    pub message: String,
}

impl Failure {
    /// Whether somebody held a lock for longer than a worker waits. That is no failure of this database.
    pub fn is_lock_wait(&self) -> bool {
        [
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED,
        ]
        .contains(&self.code)
    }
}

/// Runs a pass. Not in a transaction. A step that fails does not keep the others from their turn. The first failure is
/// returned, and one by a lock only if there is no other.
pub fn run(shared: &'static Shared, database: &'static Database, was_dirty: bool) -> Result<Ended, Failure> {
    let deadline = Instant::now() + PASS;
    let pass = match step(|| begin(shared, database, deadline))? {
        Begun::Pass(pass) => pass,
        Begun::Ended(ended) => return Ok(ended),
    };
    // New intervals take effect here, however long the old ones were.
    database
        .flush
        .set_every(to_micros(pass.params.flush_interval_in_force()));
    database.purge.set_every(to_micros(pass.params.purge_interval));
    let results = [
        step(|| expire::run(&pass)),
        step(|| flush::run(&pass, was_dirty)),
        step(|| purge::run(&pass)),
        step(|| send_unsent(&pass)),
    ];
    let mut ended = Ended::Done;
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(how) => ended = ended.max(how),
            Err(failure) => failures.push(failure),
        }
    }
    failures.sort_by_key(Failure::is_lock_wait);
    failures.into_iter().next().map_or(Ok(ended), Err)
}

/// Runs a step, and rolls back the transaction in which it fails.
fn step<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failure> {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        work().map_err(|error| {
            let (code, message, _) = error.parts();
            Failure { code, message }
        })
    }))
    .catch_others(|error| {
        transaction::abort();
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Err(Failure {
            code: report.sql_error_code(),
            message: report.message().into(),
        })
    })
    .execute()
}

/// The beginning of a pass: it goes on, or ends at once.
enum Begun {
    Pass(PassContext),
    Ended(Ended),
}

/// Looks whether the extension is there, and reads its parameters, waiting for nobody.
fn begin(shared: &'static Shared, database: &'static Database, deadline: Instant) -> Result<Begun, Error> {
    transaction::run(None, c"session maintenance", || {
        let attached = Attached::to(shared);
        let objects = catalog::objects();
        if database.presence() == Presence::Unknown || matches!(objects, Err(Error::NotInstalled)) {
            // It may have been dropped, or created again: nothing of an older one stays in the registry.
            forget_dropped_tables(shared, database.oid().into());
        }
        let objects = match objects {
            Ok(objects) => objects,
            Err(Error::NotInstalled) => return Ok(Begun::Ended(Ended::NotInstalled)),
            Err(error) => return Err(error),
        };
        let (Some(sessions), Some(params)) = (
            Table::try_open_to_read(objects.session),
            params_cache::try_current(&attached)?,
        ) else {
            return Ok(Begun::Ended(Ended::Later));
        };
        let owner = sessions.owner();
        Ok(Begun::Pass(PassContext {
            shared,
            database,
            attached,
            session: Context {
                attached: Some(attached),
                objects,
            },
            params,
            owner,
            deadline,
            unsent: RefCell::default(),
        }))
    })
}

/// Sends the notices that had to wait, if that can be done within moments: a notice is a hint.
fn send_unsent(pass: &PassContext) -> Result<Ended, Error> {
    for _ in 0..NOTICE_TRIES {
        if pass.unsent.borrow().is_empty() {
            break;
        }
        sleep(NOTICE_PAUSE);
        transaction::run(None, c"session maintenance", || {
            Ok(end::try_send(&mut pass.unsent.borrow_mut()))
        })?;
    }
    Ok(Ended::Done)
}

/// Forgets the sessions of tables that were dropped.
fn forget_dropped_tables(shared: &'static Shared, database: u32) {
    let mut seen = Vec::new();
    while let Some(table) = shared.registry.table_other_than(database, &seen) {
        if !catalog::relation_exists(Oid::from(table)) {
            shared.registry.forget(database, Some(table));
        }
        seen.push(table);
    }
}
