//! `open_session`, `close_session`, `close_user_sessions`, `rotate_session`.

use chrono::TimeDelta;
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;
use session_timeout_core::digest::MAX_USER_NAME_BYTES;

use crate::error::Error;
use crate::pg::datum::span_of;
use crate::pg::fcall::{Call, Returned, sql_function};
use crate::pg::transaction::require_writable;
use crate::session::lifecycle;

sql_function!(ist_open_session, pg_finfo_ist_open_session, open_session);
sql_function!(ist_close_session, pg_finfo_ist_close_session, close_session);
sql_function!(
    ist_close_user_sessions,
    pg_finfo_ist_close_user_sessions,
    close_user_sessions
);
sql_function!(ist_rotate_session, pg_finfo_ist_rotate_session, rotate_session);

/// `open_session(sid text, user_name text, idle_delay interval, absolute_delay interval) → void`
fn open_session(call: Call) -> Returned {
    let digest = call.digest(0)?.ok_or(Error::SidMissing)?;
    let user_name = user_name(&call, 1)?;
    let idle_delay = limit(&call, 2, "idle_delay")?;
    let absolute_delay = limit(&call, 3, "absolute_delay")?;
    require_writable(c"open_session()");
    lifecycle::open(&digest, user_name, idle_delay, absolute_delay)?;
    Ok(Some(Datum::from(0_usize)))
}

/// `close_session(sid text) → boolean`
fn close_session(call: Call) -> Returned {
    let was_open = match call.digest(0)? {
        Some(digest) => {
            require_writable(c"close_session()");
            lifecycle::close(&digest)?
        }
        None => false,
    };
    Ok(was_open.into_datum())
}

/// `close_user_sessions(user_name text, except_sid text) → bigint`
fn close_user_sessions(call: Call) -> Returned {
    let except = call.digest(1)?;
    let closed = match user_name(&call, 0)? {
        Some(user_name) => {
            require_writable(c"close_user_sessions()");
            lifecycle::close_user(user_name, except.as_ref())?
        }
        None => 0,
    };
    Ok((closed as i64).into_datum())
}

/// `rotate_session(old_sid text, new_sid text) → boolean`
fn rotate_session(call: Call) -> Returned {
    let was_valid = match (call.digest(0)?, call.digest(1)?) {
        (Some(old), Some(new)) => {
            require_writable(c"rotate_session()");
            lifecycle::rotate(&old, &new)?
        }
        _ => false,
    };
    Ok(was_valid.into_datum())
}

/// A user name argument, as a `text` value and as its bytes.
fn user_name(call: &Call, n: usize) -> Result<Option<(Datum, &[u8])>, Error> {
    match (call.datum(n), call.text(n)) {
        (_, Some(name)) if name.len() > MAX_USER_NAME_BYTES => Err(Error::UserNameTooLong { bytes: name.len() }),
        (Some(datum), Some(name)) => Ok(Some((datum, name))),
        _ => Ok(None),
    }
}

/// A session's own limit, an `interval` argument.
fn limit(call: &Call, n: usize, argument: &'static str) -> Result<Option<Datum>, Error> {
    match call.datum(n) {
        Some(datum) if span_of(datum) <= TimeDelta::zero() => Err(Error::LimitNotPositive { argument }),
        limit => Ok(limit),
    }
}
