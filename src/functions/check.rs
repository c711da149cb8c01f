//! `check_session`, `session_verdict`, `peek_session`, `session_digest`.

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::{Digest, MAX_SID_BYTES};
use session_timeout_core::time::to_micros;

use crate::entry::{Answer, Call, sql_function};
use crate::error::Error;
use crate::session::check::{self, Detail, Finding};
use crate::store::session_row::{digest_datum, timestamp_datum};
use crate::store::shape;

sql_function!(ist_check_session, pg_finfo_ist_check_session, check_session);
sql_function!(ist_session_verdict, pg_finfo_ist_session_verdict, session_verdict);
sql_function!(ist_peek_session, pg_finfo_ist_peek_session, peek_session);
sql_function!(ist_session_digest, pg_finfo_ist_session_digest, session_digest);

/// `check_session(sid text, url text) → boolean`
fn check_session(call: Call) -> Answer {
    let valid = match call.digest(0)? {
        Some(digest) => check::check(&digest, call.text(1), Detail::Answer)?.status.is_valid(),
        None => false,
    };
    Ok(valid.into_datum())
}

/// `session_verdict(sid text, url text) → verdict`
fn session_verdict(call: Call) -> Answer {
    // Looked up before anything can take in that the extension was dropped under an old transaction.
    let row_type = call.result_row_type();
    let finding = match call.digest(0)? {
        Some(digest) => check::check(&digest, call.text(1), Detail::Full)?,
        None => Finding::UNKNOWN,
    };
    verdict(row_type, &finding)
}

/// `peek_session(sid text) → verdict`
fn peek_session(call: Call) -> Answer {
    let row_type = call.result_row_type();
    let finding = match call.digest(0)? {
        Some(digest) => check::peek(&digest)?,
        None => Finding::UNKNOWN,
    };
    verdict(row_type, &finding)
}

/// `session_digest(sid text) → bytea`
fn session_digest(call: Call) -> Answer {
    match call.text(0) {
        Some(sid) if sid.len() > MAX_SID_BYTES => Err(Error::SidTooLong { bytes: sid.len() }),
        Some(sid) => Ok(digest_datum(&Digest::of(sid))),
        None => Ok(None),
    }
}

/// A `verdict` value.
fn verdict(row_type: pg_sys::TupleDesc, finding: &Finding) -> Answer {
    const TYPES: [Oid; 8] = [
        pg_sys::BOOLOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::INTERVALOID,
        pg_sys::BOOLOID,
    ];
    let details = finding.details.as_ref();
    let outlook = details.map(|details| &details.outlook);
    row(
        row_type,
        &TYPES,
        &[
            finding.status.is_valid().into_datum(),
            finding.status.as_str().into_datum(),
            details.and_then(|details| details.user_name),
            details.map(|details| timestamp_datum(details.session.opened_at)),
            details.map(|details| timestamp_datum(details.session.last_activity)),
            outlook.and_then(|outlook| outlook.expires_at).map(timestamp_datum),
            outlook.and_then(|outlook| outlook.expires_in).map(interval),
            outlook.is_some_and(|outlook| outlook.warn).into_datum(),
        ],
    )
}

/// A value of the row type that a function returns, of values of these types.
///
/// # Errors
/// 55000 where the row type has other columns: somebody has altered it.
pub fn row(row_type: pg_sys::TupleDesc, types: &[Oid], values: &[Option<Datum>]) -> Answer {
    // SAFETY: a row type of PostgreSQL's.
    let columns = unsafe { (*row_type).natts as usize };
    // What was added and dropped again is NULL.
    let padded = || values.iter().copied().chain(std::iter::repeat(None)).take(columns);
    let mut datums: Vec<Datum> = padded().map(|value| value.unwrap_or(Datum::from(0_usize))).collect();
    let mut nulls: Vec<bool> = padded().map(|value| value.is_none()).collect();
    // SAFETY: a row type of PostgreSQL's, which stays as long as the call; it was compared with what the values are.
    unsafe {
        debug_assert_eq!(types.len(), values.len());
        let type_of = |n| shape::attribute(row_type, n).map(|column| column.atttypid);
        let is_as_declared = (0..types.len().max(columns)).all(|n| type_of(n) == types.get(n).copied());
        if !is_as_declared {
            return Err(Error::RowTypeAltered {
                row_type: shape::type_name((*row_type).tdtypeid),
            });
        }
        let tuple = pg_sys::heap_form_tuple(row_type, datums.as_mut_ptr(), nulls.as_mut_ptr());
        Ok(Some(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)))
    }
}

/// A span as an `interval` of days, hours and smaller units.
pub fn interval(span: chrono::TimeDelta) -> Datum {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let micros = to_micros(span);
    // SAFETY: palloc returns room for one interval, which is written whole.
    unsafe {
        let interval = pg_sys::palloc0(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
        (*interval).day = i32::try_from(micros / DAY).unwrap_or(if micros < 0 { i32::MIN } else { i32::MAX });
        (*interval).time = micros % DAY;
        Datum::from(interval)
    }
}
