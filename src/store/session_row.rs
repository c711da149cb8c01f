//! Rows of `session_timeout.session`: their columns, and finding them by digest or user.

use std::ops::ControlFlow;

use chrono::TimeDelta;
use pgrx::pg_sys::{self, AttrNumber, Datum};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::registry::Row;
use session_timeout_core::time::{Timestamp, span_of_interval};
use session_timeout_core::verdict::Session;

use super::scan::{Version, rows_by_key};
use super::table::{Latest, Table};
use super::write::Values;
use crate::entry::text_bytes;

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::store::shape::columns! {
        DIGEST: c"digest" BYTEAOID,
        USER_NAME: c"user_name" TEXTOID,
        OPENED_AT: c"opened_at" TIMESTAMPTZOID,
        LAST_ACTIVITY: c"last_activity" TIMESTAMPTZOID,
        IDLE_DELAY: c"idle_delay" INTERVALOID,
        ABSOLUTE_DELAY: c"absolute_delay" INTERVALOID,
        VERSION: c"version" INT8OID,
    }
}

/// The value of a column among a row's values.
pub fn slot_of(values: &mut Values, column: AttrNumber) -> &mut Option<Datum> {
    &mut values[column as usize - 1]
}

/// A session as a row tells it.
pub trait SessionRow {
    /// Its clocks and limits.
    fn session(&self) -> Session;
    /// Which opening it is.
    fn version(&self) -> i64;
    /// Both, as the registry takes them.
    fn row(&self) -> Row {
        Row {
            session: self.session(),
            version: self.version(),
        }
    }
    /// Its digest; `None` where the row holds none, which its constraints exclude.
    fn digest(&self) -> Option<Digest>;
    /// Its user name, a `text` in the current memory context.
    fn user_name(&self) -> Option<Datum>;
    /// Its user name's bytes, valid as long as the version is.
    fn user_name_bytes(&self) -> Option<&[u8]>;
}

impl SessionRow for Version {
    fn session(&self) -> Session {
        let time = |n| Timestamp::from_micros(self.column(n).map_or(i64::MIN, |datum| datum.value() as i64));
        Session {
            opened_at: time(column::OPENED_AT),
            last_activity: time(column::LAST_ACTIVITY),
            idle_delay: self.column(column::IDLE_DELAY).map(span),
            absolute_delay: self.column(column::ABSOLUTE_DELAY).map(span),
        }
    }

    fn version(&self) -> i64 {
        self.column(column::VERSION).map_or(0, |datum| datum.value() as i64)
    }

    fn digest(&self) -> Option<Digest> {
        self.column(column::DIGEST).and_then(digest_of)
    }

    fn user_name(&self) -> Option<Datum> {
        self.text(column::USER_NAME)
    }

    fn user_name_bytes(&self) -> Option<&[u8]> {
        // SAFETY: the column is a text.
        self.column(column::USER_NAME).map(|datum| unsafe { text_bytes(datum) })
    }
}

/// The digest in a `bytea` value; `None` where it is no digest.
pub fn digest_of(datum: Datum) -> Option<Digest> {
    // SAFETY: callers pass values of type bytea.
    Digest::from_bytes(unsafe { text_bytes(datum) })
}

/// The span of an `interval` value.
pub fn span(datum: Datum) -> TimeDelta {
    // SAFETY: callers pass values of type interval, which is passed by reference.
    let interval = unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() };
    span_of_interval(interval.month, interval.day, interval.time)
}

/// A time as a `timestamptz` value.
pub fn timestamp_datum(time: Timestamp) -> Datum {
    Datum::from(time.micros())
}

/// A digest as a `bytea` value, in the current memory context.
pub fn digest_datum(digest: &Digest) -> Option<Datum> {
    digest.as_bytes().as_slice().into_datum()
}

/// Looks at the row of one session as `snapshot` sees it; `None` where there is none.
pub fn find<T>(table: &Table, snapshot: &Latest, digest: &Digest, look: impl Fn(Version) -> T) -> Option<T> {
    let key = digest_datum(digest)?;
    rows_by_key(
        table,
        snapshot,
        table.primary_key_on(column::DIGEST),
        column::DIGEST,
        pg_sys::F_BYTEAEQ,
        key,
        |version| ControlFlow::Break(look(version)),
    )
}

/// Where the row of one session is.
pub fn place(table: &Table, snapshot: &Latest, digest: &Digest) -> Option<pg_sys::ItemPointerData> {
    find(table, snapshot, digest, |version| version.tid())
}

/// The digests of one user's sessions.
pub fn digests_of_user(table: &Table, snapshot: &Latest, user_name: Datum) -> Vec<Digest> {
    let mut digests = Vec::new();
    let index = table.index_on(column::USER_NAME);
    rows_by_key(
        table,
        snapshot,
        index,
        column::USER_NAME,
        pg_sys::F_TEXTEQ,
        user_name,
        |version| {
            digests.extend(version.digest());
            ControlFlow::<()>::Continue(())
        },
    );
    digests
}
