//! Rows of `session_timeout.config_parameter`.

use std::ops::ControlFlow;

use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};

use crate::pg::relation::Table;
use crate::pg::scan::{all_rows, has_key, rows_by_key};
use crate::pg::sequence;
use crate::pg::shape::{Shape, TableRef};
use crate::pg::slot::Tuple;
use crate::pg::snapshot::LatestSnapshot;

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::pg::shape::columns! {
        ID: c"id" INT4OID,
        KEY: c"key" TEXTOID,
        VALUE: c"value" TEXTOID,
        CREATE_UID: c"create_uid" INT4OID,
        CREATE_DATE: c"create_date" TIMESTAMPTZOID,
        WRITE_UID: c"write_uid" INT4OID,
        WRITE_DATE: c"write_date" TIMESTAMPTZOID,
    }
}

/// What the table must look like.
pub const SHAPE: Shape = Shape {
    name: c"config_parameter",
    key: c"key",
    columns: column::ALL,
};

/// The parameter table of this OID.
pub fn table(oid: Oid) -> TableRef {
    TableRef { oid, shape: &SHAPE }
}

/// Calls `look` with the row of one key that `snapshot` sees; `None` if there is none.
pub fn find<T>(table: &Table, snapshot: &LatestSnapshot, key: Datum, look: impl Fn(Tuple) -> T) -> Option<T> {
    let index = table.index_on(column::KEY);
    rows_by_key(table, snapshot, index, column::KEY, pg_sys::F_TEXTEQ, key, |row| {
        ControlFlow::Break(look(row))
    })
}

/// Calls `each` for the rows of these keys that `snapshot` sees, however many other rows there are. If no index finds them,
/// the whole table is read, and `each` is called for all of its rows.
pub fn rows_of<'a>(
    table: &Table,
    snapshot: &LatestSnapshot,
    keys: impl IntoIterator<Item = &'a str>,
    mut each: impl FnMut(Tuple),
) {
    let index = table.index_on(column::KEY);
    if index == Oid::INVALID {
        return all_rows(table, snapshot, each);
    }
    for key in keys.into_iter().filter_map(IntoDatum::into_datum) {
        rows_by_key(table, snapshot, index, column::KEY, pg_sys::F_TEXTEQ, key, |row| {
            each(row);
            ControlFlow::<()>::Continue(())
        });
    }
}

/// An `id` that no row of the table has, from the sequence `ids`.
pub fn free_id(table: &Table, ids: Oid) -> i32 {
    loop {
        pgrx::check_for_interrupts!();
        // If somebody has altered the type of the sequence, its values may not fit an id.
        let Ok(id) = i32::try_from(sequence::next_value(ids)) else {
            sequence::raise_altered(ids);
        };
        if !has_id(table, id) {
            return id;
        }
    }
}

/// Whether a row has this `id`, rows that the current command itself has written included.
pub fn has_id(table: &Table, id: i32) -> bool {
    has_key(
        table,
        table.primary_key_on(column::ID),
        column::ID,
        pg_sys::F_INT4EQ,
        id.into(),
    )
}
