//! The functions behind the views: the outlook of a session, the counters, the workers.

use std::ffi::CStr;
use std::sync::atomic::Ordering::Acquire;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::registry::Row;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Outlook, Session, Status};

use crate::pg::clock;
use crate::pg::datum::{Field, interval_datum, row_datum, span_of, timestamp_datum, timestamp_of};
use crate::pg::fcall::{Call, Returned, sql_function};
use crate::rows::session::digest_of;
use crate::session::context::Context;
use crate::shared;
use crate::shared::counters::Sums;
use crate::shared::database::Presence;

sql_function!(ist_session_outlook, pg_finfo_ist_session_outlook, session_outlook);
sql_function!(ist_counters, pg_finfo_ist_counters, counters);
sql_function!(ist_worker_state, pg_finfo_ist_worker_state, worker_state);

/// `session_outlook(digest, version, opened_at, last_activity, idle_delay, absolute_delay) → (status, last_activity,
/// expires_at, expires_in, warn)`
fn session_outlook(call: Call) -> Returned {
    let time = |n| call.datum(n).map_or(Timestamp::from_micros(i64::MIN), timestamp_of);
    let session = Session {
        opened_at: time(2),
        last_activity: time(3),
        idle_delay: call.datum(4).map(span_of),
        absolute_delay: call.datum(5).map(span_of),
    };
    let (Some(digest), Some(version)) = (call.datum(0).and_then(digest_of), call.datum(1)) else {
        return Ok(None);
    };
    let version = version.value() as i64;
    let context = Context::current()?;
    let known = context.known(&digest, &Row { session, version });
    let params = context.params()?;
    let now = clock::now();
    let status = known.expiry(&params).map_or(Status::Active, Status::from);
    let outlook = Outlook::of(&known.session, &params, status, now);
    let last_activity = timestamp_datum(known.session.last_activity.min(now));
    let expires_at = outlook.expires_at.map(timestamp_datum);
    let expires_in = outlook.expires_in.map(interval_datum);
    row_datum(
        call.result_row_type(),
        &[
            (c"status", pg_sys::TEXTOID, status.as_str().into_datum()),
            (c"last_activity", pg_sys::TIMESTAMPTZOID, Some(last_activity)),
            (c"expires_at", pg_sys::TIMESTAMPTZOID, expires_at),
            (c"expires_in", pg_sys::INTERVALOID, expires_in),
            (c"warn", pg_sys::BOOLOID, outlook.warn.into_datum()),
        ],
    )
}

/// `counters() → (preloaded, entries, capacity, …)`: without the library preloaded, all but the first are NULL.
fn counters(call: Call) -> Returned {
    let figures = shared::get().map(|shared| (shared.registry.fill(), Sums::of(shared.counters)));
    let figure = |name, of: &dyn Fn(&(usize, usize), &Sums) -> u64| -> Field {
        let figure = figures.as_ref().map(|(fill, sums)| of(fill, sums) as i64);
        (name, pg_sys::INT8OID, figure.into_datum())
    };
    row_datum(
        call.result_row_type(),
        &[
            (c"preloaded", pg_sys::BOOLOID, figures.is_some().into_datum()),
            figure(c"entries", &|(entries, _), _| *entries as u64),
            figure(c"capacity", &|(_, capacity), _| *capacity as u64),
            figure(c"checks", &|_, sums| sums.checks()),
            figure(c"hits", &|_, sums| sums.hits()),
            figure(c"loads", &|_, sums| sums.loads),
            figure(c"touches", &|_, sums| sums.touches),
            figure(c"ignored", &|_, sums| sums.ignored),
            figure(c"idle_expired", &|_, sums| sums.idle_expired),
            figure(c"absolute_expired", &|_, sums| sums.absolute_expired),
            figure(c"closed", &|_, sums| sums.closed),
            figure(c"unknown", &|_, sums| sums.unknown),
            // The name of 0.1.0; the view has `invalidating` beside it.
            figure(c"in_flux", &|_, sums| sums.invalidating),
            figure(c"registry_full", &|_, sums| sums.full),
            figure(c"lost_touches", &|_, sums| sums.lost_touches),
        ],
    )
}

/// `worker_state(database oid) → (pid, last_pass, next_flush, next_purge, flushed, expired, purged, failures,
/// last_error, workers_refused)`: NULL for a database that is not known to have the extension.
fn worker_state(call: Call) -> Returned {
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
    let time = |name, micros: i64| -> Field {
        let time = (micros != i64::MIN).then(|| Datum::from(micros));
        (name, pg_sys::TIMESTAMPTZOID, time)
    };
    let count = |name, count: u64| -> Field { (name, pg_sys::INT8OID, (count as i64).into_datum()) };
    let pid = Some(database.worker.load(Acquire)).filter(|pid| *pid != 0);
    let error = Some(database.last_error.load(Acquire)).filter(|error| *error != 0);
    row_datum(
        call.result_row_type(),
        &[
            (c"pid", pg_sys::INT4OID, pid.map(|pid| pid as i32).into_datum()),
            time(c"last_pass", database.last_pass.load(Acquire)),
            time(c"next_flush", database.flush.next(now)),
            time(c"next_purge", database.next_purge(now)),
            count(c"flushed", database.flushed.load(Acquire)),
            count(c"expired", database.expired.load(Acquire)),
            count(c"purged", database.purged.load(Acquire)),
            count(c"failures", database.failures.load(Acquire).into()),
            (c"last_error", pg_sys::TEXTOID, error.map(sqlstate).into_datum()),
            count(c"workers_refused", shared.control.workers_refused.load(Acquire).into()),
        ],
    )
}

/// The five characters of a SQLSTATE.
fn sqlstate(code: u32) -> String {
    // SAFETY: returns a static buffer with a null-terminated string.
    unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code as i32)) }
        .to_string_lossy()
        .into_owned()
}
