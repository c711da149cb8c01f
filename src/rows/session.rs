//! Rows of `session_timeout.session`: their columns, and finding them by digest or user.

use std::ops::ControlFlow;

use pgrx::pg_sys::{self, AttrNumber, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::registry::{Key, Row};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::Session;

use crate::pg::datum::{span_of, text_bytes, timestamp_of};
use crate::pg::modification::Values;
use crate::pg::relation::Table;
use crate::pg::scan::rows_by_key;
use crate::pg::shape::{Shape, TableRef};
use crate::pg::slot::Tuple;
use crate::pg::snapshot::LatestSnapshot;

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::pg::shape::columns! {
        DIGEST: c"digest" BYTEAOID,
        USER_NAME: c"user_name" TEXTOID,
        OPENED_AT: c"opened_at" TIMESTAMPTZOID,
        LAST_ACTIVITY: c"last_activity" TIMESTAMPTZOID,
        IDLE_DELAY: c"idle_delay" INTERVALOID,
        ABSOLUTE_DELAY: c"absolute_delay" INTERVALOID,
        VERSION: c"version" INT8OID,
    }
}

/// What the table must look like.
pub const SHAPE: Shape = Shape {
    name: c"session",
    key: c"digest",
    columns: column::ALL,
};

/// The session table of this OID.
pub fn table(oid: Oid) -> TableRef {
    TableRef { oid, shape: &SHAPE }
}

/// The table that a registry key names.
pub fn table_of(key: &Key) -> TableRef {
    table(Oid::from(key.table))
}

/// The place of a column among the values of a row.
pub fn value_of(values: &mut Values, column: AttrNumber) -> &mut Option<Datum> {
    &mut values[column as usize - 1]
}

/// A session, as its row has it.
pub trait SessionRow {
    /// Its clocks and limits.
    fn session(&self) -> Session;
    /// Its version.
    fn version(&self) -> i64;
    /// Both, as the registry takes them.
    fn row(&self) -> Row {
        Row {
            session: self.session(),
            version: self.version(),
        }
    }
    /// Its digest; `None` if the column holds none, which the constraints of the table exclude.
    fn digest(&self) -> Option<Digest>;
    /// Its user name, a `text` in the current memory context.
    fn user_name(&self) -> Option<Datum>;
    /// The bytes of its user name, valid as long as the tuple.
    fn user_name_bytes(&self) -> Option<&[u8]>;
}

impl SessionRow for Tuple {
    fn session(&self) -> Session {
        let time = |n| self.column(n).map_or(Timestamp::from_micros(i64::MIN), timestamp_of);
        Session {
            opened_at: time(column::OPENED_AT),
            last_activity: time(column::LAST_ACTIVITY),
            idle_delay: self.column(column::IDLE_DELAY).map(span_of),
            absolute_delay: self.column(column::ABSOLUTE_DELAY).map(span_of),
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

/// The digest in a `bytea` value; `None` if it is none.
pub fn digest_of(datum: Datum) -> Option<Digest> {
    // SAFETY: callers pass values of type bytea.
    Digest::from_bytes(unsafe { text_bytes(datum) })
}

/// A digest as a `bytea` value, in the current memory context.
pub fn digest_datum(digest: &Digest) -> Option<Datum> {
    digest.as_bytes().as_slice().into_datum()
}

/// Calls `look` with the tuple of a session that `snapshot` sees; `None` if there is none.
pub fn find<T>(table: &Table, snapshot: &LatestSnapshot, digest: &Digest, look: impl Fn(Tuple) -> T) -> Option<T> {
    let key = digest_datum(digest)?;
    rows_by_key(
        table,
        snapshot,
        table.primary_key_on(column::DIGEST),
        column::DIGEST,
        pg_sys::F_BYTEAEQ,
        key,
        |tuple| ControlFlow::Break(look(tuple)),
    )
}

/// The place of the tuple of a session that `snapshot` sees.
pub fn place(table: &Table, snapshot: &LatestSnapshot, digest: &Digest) -> Option<pg_sys::ItemPointerData> {
    find(table, snapshot, digest, |tuple| tuple.tid())
}

/// Calls `look` with the newest committed tuple of a session, or the current transaction's own; `None` if there is none.
/// Waits for DDL on the table, never for a row.
pub fn read_newest<T>(table: TableRef, digest: &Digest, look: impl Fn(Tuple) -> T) -> Option<T> {
    let table = Table::open_to_read(table)?;
    let snapshot = LatestSnapshot::take(&table);
    find(&table, &snapshot, digest, look)
}

/// The digests of the sessions of one user.
pub fn digests_of_user(table: &Table, snapshot: &LatestSnapshot, user_name: Datum) -> Vec<Digest> {
    let mut digests = Vec::new();
    let index = table.index_on(column::USER_NAME);
    rows_by_key(
        table,
        snapshot,
        index,
        column::USER_NAME,
        pg_sys::F_TEXTEQ,
        user_name,
        |tuple| {
            digests.extend(tuple.digest());
            ControlFlow::<()>::Continue(())
        },
    );
    digests
}
