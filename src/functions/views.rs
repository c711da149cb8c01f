//! What the views show: the outlook of a session, the counters, the workers.

use std::ffi::CStr;
use std::sync::atomic::Ordering::Acquire;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::registry::Row;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Outlook, Session, Status};

use crate::catalog;
use crate::clock;
use crate::entry::{Answer, Call, sql_function};
use crate::functions::check::{interval, row};
use crate::session::Known;
use crate::settings;
use crate::shared::counters::Sums;
use crate::shared::database::Presence;
use crate::shared::{self};
use crate::store::session_row::{digest_of, span, timestamp_datum};

sql_function!(ist_session_outlook, pg_finfo_ist_session_outlook, session_outlook);
sql_function!(ist_counters, pg_finfo_ist_counters, counters);
sql_function!(ist_worker_state, pg_finfo_ist_worker_state, worker_state);

/// `session_outlook(digest, version, opened_at, last_activity, idle_delay, absolute_delay) → (status, last_activity,
/// expires_at, expires_in, warn)`
fn session_outlook(call: Call) -> Answer {
    let time = |n| Timestamp::from_micros(call.datum(n).map_or(i64::MIN, |datum| datum.value() as i64));
    let session = Session {
        opened_at: time(2),
        last_activity: time(3),
        idle_delay: call.datum(4).map(span),
        absolute_delay: call.datum(5).map(span),
    };
    let (Some(digest), Some(version)) = (call.datum(0).and_then(digest_of), call.datum(1)) else {
        return Ok(None);
    };
    let known = Known::of(
        &catalog::objects()?,
        &digest,
        &Row {
            session,
            version: version.value() as i64,
        },
    );
    let params = settings::current()?;
    let now = clock::now();
    let status = known.expiry(&params).map_or(Status::Active, Status::from);
    let outlook = Outlook::of(&known.session, &params, status, now);
    row(
        call.result_row_type(),
        &[
            pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::INTERVALOID,
            pg_sys::BOOLOID,
        ],
        &[
            status.as_str().into_datum(),
            Some(timestamp_datum(known.session.last_activity.min(now))),
            outlook.expires_at.map(timestamp_datum),
            outlook.expires_in.map(interval),
            outlook.warn.into_datum(),
        ],
    )
}

/// `counters() → (preloaded, entries, capacity, …)`: all NULL but the first without the library preloaded.
fn counters(call: Call) -> Answer {
    const COLUMNS: usize = 15;
    let mut types = [pg_sys::INT8OID; COLUMNS];
    types[0] = pg_sys::BOOLOID;
    let mut values = [None; COLUMNS];
    values[0] = shared::get().is_some().into_datum();
    if let Some(shared) = shared::get() {
        let (entries, capacity) = shared.registry.fill();
        let sums = Sums::of(shared.counters);
        let figures = [
            entries as u64,
            capacity as u64,
            sums.checks(),
            sums.hits(),
            sums.loads,
            sums.touches,
            sums.ignored,
            sums.idle_expired,
            sums.absolute_expired,
            sums.closed,
            sums.unknown,
            sums.in_flux,
            sums.full,
            sums.lost_touches,
        ];
        for (value, figure) in values[1..].iter_mut().zip(figures) {
            *value = (figure as i64).into_datum();
        }
    }
    row(call.result_row_type(), &types, &values)
}

/// `worker_state(database oid) → (pid, last_pass, next_flush, next_purge, flushed, expired, purged, failures,
/// last_error, workers_refused)`: NULL for a database that is not known to have the extension.
fn worker_state(call: Call) -> Answer {
    let Some(oid) = call.datum(0).map(|datum| Oid::from(datum.value() as u32)) else {
        return Ok(None);
    };
    let Some(shared) = shared::get() else { return Ok(None) };
    let Some(database) = shared
        .databases
        .iter()
        .find(|database| database.oid() == oid && database.presence() != Presence::Absent && oid != Oid::INVALID)
    else {
        return Ok(None);
    };
    let now = clock::now().micros();
    let time = |micros: i64| (micros != i64::MIN).then(|| Datum::from(micros));
    let pid = database.worker.load(Acquire) as i32;
    let error = database.last_error.load(Acquire);
    row(
        call.result_row_type(),
        &[
            pg_sys::INT4OID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::TIMESTAMPTZOID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::INT8OID,
            pg_sys::TEXTOID,
            pg_sys::INT8OID,
        ],
        &[
            if pid == 0 { None } else { pid.into_datum() },
            time(database.last_pass.load(Acquire)),
            time(database.flush.next(now)),
            time(database.purge.next(now)),
            (database.flushed.load(Acquire) as i64).into_datum(),
            (database.expired.load(Acquire) as i64).into_datum(),
            (database.purged.load(Acquire) as i64).into_datum(),
            (database.failures.load(Acquire) as i64).into_datum(),
            if error == 0 { None } else { sqlstate(error).into_datum() },
            i64::from(shared.control.workers_refused.load(Acquire)).into_datum(),
        ],
    )
}

/// A SQLSTATE's five characters.
fn sqlstate(code: u32) -> String {
    // SAFETY: answers a static buffer with a null-terminated string.
    unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code as i32)) }
        .to_string_lossy()
        .into_owned()
}
