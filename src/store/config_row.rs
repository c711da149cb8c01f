//! Rows of `session_timeout.config_parameter`.

use std::ops::ControlFlow;

use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};

use super::scan::{Version, all_rows, has_key, rows_by_key};
use super::table::{Latest, Table};

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::store::shape::columns! {
        ID: c"id" INT4OID,
        KEY: c"key" TEXTOID,
        VALUE: c"value" TEXTOID,
        CREATE_UID: c"create_uid" INT4OID,
        CREATE_DATE: c"create_date" TIMESTAMPTZOID,
        WRITE_UID: c"write_uid" INT4OID,
        WRITE_DATE: c"write_date" TIMESTAMPTZOID,
    }
}

/// Looks at the row of one key as `snapshot` sees it; `None` where there is none.
pub fn find<T>(table: &Table, snapshot: &Latest, key: Datum, look: impl Fn(Version) -> T) -> Option<T> {
    let index = table.index_on(column::KEY);
    rows_by_key(table, snapshot, index, column::KEY, pg_sys::F_TEXTEQ, key, |row| {
        ControlFlow::Break(look(row))
    })
}

/// Calls `each` for the rows of some keys, as one snapshot sees them, whatever other rows there are. Only if no index leads to
/// them is the whole table read; then `each` is called for all of its rows.
pub fn rows_of<'a>(
    table: &Table,
    snapshot: &Latest,
    keys: impl IntoIterator<Item = &'a str>,
    mut each: impl FnMut(Version),
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

/// An `id` that no row of the table has, from the sequence of these.
pub fn free_id(table: &Table, ids: Oid) -> i32 {
    loop {
        pgrx::check_for_interrupts!();
        // A sequence of another type than the install script's could lead past what an id can be.
        let Ok(id) = i32::try_from(super::next_value(ids)) else {
            super::sequence_altered(ids);
        };
        if !has_id(table, id) {
            return id;
        }
    }
}

/// Whether a row has this `id`, one that the current command itself has written included.
pub fn has_id(table: &Table, id: i32) -> bool {
    has_key(
        table,
        table.primary_key_on(column::ID),
        column::ID,
        pg_sys::F_INT4EQ,
        id.into(),
    )
}
