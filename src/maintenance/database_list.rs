//! Which databases there are: the launcher's looks at `pg_database`, and what it remembers of those that have no place.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use pgrx::PgTryBuilder;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::limits::PAUSE;
use crate::pg::lock::try_lock_shared_object;
use crate::pg::transaction::{abort, accept_invalidations};
use crate::shared::Shared;
use crate::shared::database::{Database, Presence};
use crate::shared::databases::{self, Registered};

/// Forgets sessions of databases that were dropped before this server knew them: while it was a standby, or before the last
/// shutdown. Returns false if that must be tried again.
pub fn forget_vanished(shared: &'static Shared) -> bool {
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
pub struct Databases {
    /// Those that were found without the extension, and when. CREATE EXTENSION gives them a place again.
    absent: HashMap<u32, Instant>,
    /// How many databases had been dropped by then: a new database with the OID of a dropped one may have the extension.
    dropped: u32,
    /// How many others have no place.
    pub without_place: usize,
    /// When that was logged last.
    logged: Option<Instant>,
}

impl Databases {
    /// Registers new databases and forgets dropped ones.
    pub fn look(&mut self, shared: &'static Shared) {
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
    pub fn release(&mut self, shared: &'static Shared) -> bool {
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
    pub fn pause(&self, oid: Oid) -> i64 {
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
