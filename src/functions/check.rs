//! `check_session`, `session_verdict`, `peek_session`, `session_digest`.

use pgrx::pg_sys;
use pgrx::prelude::*;
use session_timeout_core::digest::{Digest, MAX_SID_BYTES};

use crate::error::Error;
use crate::pg::datum::{interval_datum, row_datum, timestamp_datum};
use crate::pg::fcall::{Call, Returned, sql_function};
use crate::rows::session::digest_datum;
use crate::session::check::{self, Detail, Verdict};

sql_function!(ist_check_session, pg_finfo_ist_check_session, check_session);
sql_function!(ist_session_verdict, pg_finfo_ist_session_verdict, session_verdict);
sql_function!(ist_peek_session, pg_finfo_ist_peek_session, peek_session);
sql_function!(ist_session_digest, pg_finfo_ist_session_digest, session_digest);

/// `check_session(sid text, url text) → boolean`
fn check_session(call: Call) -> Returned {
    let valid = match call.digest(0)? {
        Some(digest) => check::check(&digest, call.text(1), Detail::Status)?.status.is_valid(),
        None => false,
    };
    Ok(valid.into_datum())
}

/// `session_verdict(sid text, url text) → verdict`
fn session_verdict(call: Call) -> Returned {
    // Looked up before the check can process the invalidation of an extension that was dropped under an old transaction.
    let row_type = call.result_row_type();
    let verdict = match call.digest(0)? {
        Some(digest) => check::check(&digest, call.text(1), Detail::Full)?,
        None => Verdict::UNKNOWN,
    };
    verdict_datum(row_type, &verdict)
}

/// `peek_session(sid text) → verdict`
fn peek_session(call: Call) -> Returned {
    let row_type = call.result_row_type();
    let verdict = match call.digest(0)? {
        Some(digest) => check::peek(&digest)?,
        None => Verdict::UNKNOWN,
    };
    verdict_datum(row_type, &verdict)
}

/// `session_digest(sid text) → bytea`
fn session_digest(call: Call) -> Returned {
    match call.text(0) {
        Some(sid) if sid.len() > MAX_SID_BYTES => Err(Error::SidTooLong { bytes: sid.len() }),
        Some(sid) => Ok(digest_datum(&Digest::of(sid))),
        None => Ok(None),
    }
}

/// A `verdict` value.
fn verdict_datum(row_type: pg_sys::TupleDesc, verdict: &Verdict) -> Returned {
    let details = verdict.details.as_ref();
    let outlook = details.map(|details| &details.outlook);
    let opened_at = details.map(|details| timestamp_datum(details.session.opened_at));
    let last_activity = details.map(|details| timestamp_datum(details.session.last_activity));
    let expires_at = outlook.and_then(|outlook| outlook.expires_at).map(timestamp_datum);
    let expires_in = outlook.and_then(|outlook| outlook.expires_in).map(interval_datum);
    let warn = outlook.is_some_and(|outlook| outlook.warn);
    row_datum(
        row_type,
        &[
            (c"valid", pg_sys::BOOLOID, verdict.status.is_valid().into_datum()),
            (c"status", pg_sys::TEXTOID, verdict.status.as_str().into_datum()),
            (
                c"user_name",
                pg_sys::TEXTOID,
                details.and_then(|details| details.user_name),
            ),
            (c"opened_at", pg_sys::TIMESTAMPTZOID, opened_at),
            (c"last_activity", pg_sys::TIMESTAMPTZOID, last_activity),
            (c"expires_at", pg_sys::TIMESTAMPTZOID, expires_at),
            (c"expires_in", pg_sys::INTERVALOID, expires_in),
            (c"warn", pg_sys::BOOLOID, warn.into_datum()),
        ],
    )
}
