//! Rows of `session_timeout.config_parameter`.

use std::ops::ControlFlow;

use pgrx::pg_sys::{self, Datum, Oid};

use super::scan::{Version, has_key, rows_by_key};
use super::table::{Latest, Table};

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    use pgrx::pg_sys::AttrNumber;

    pub const ID: AttrNumber = 1;
    pub const KEY: AttrNumber = 2;
    pub const VALUE: AttrNumber = 3;
    pub const CREATE_DATE: AttrNumber = 5;
    pub const WRITE_DATE: AttrNumber = 7;
    pub const COUNT: usize = 7;
}

/// Looks at the row of one key as `snapshot` sees it; `None` where there is none.
pub fn find<T>(table: &Table, snapshot: &Latest, key: Datum, look: impl Fn(Version) -> T) -> Option<T> {
    let index = table.index_on(column::KEY);
    rows_by_key(table, snapshot, index, column::KEY, pg_sys::F_TEXTEQ, key, |row| {
        ControlFlow::Break(look(row))
    })
}

/// An `id` that no row of the table has, from the sequence of these.
pub fn free_id(table: &Table, ids: Oid) -> i32 {
    loop {
        let id = super::next_value(ids) as i32;
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
