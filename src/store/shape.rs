//! What the extension's tables look like as the install script makes them, and whether they still do.
//!
//! Rows are read by column number, and values by the type that the install script gave them. An administrator can alter the
//! tables; then a value would be taken for what it is not, and a number for an address. So a table is compared each time it
//! is opened, under its lock: a few comparisons. Columns that were added are none of our business.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::{config_row, event_row, session_row};
use crate::error::Error;

/// A column of one of our tables.
pub struct Column {
    pub name: &'static CStr,
    pub type_oid: Oid,
}

/// Declares the columns of a table in the order of the install script: a number for each, counted from 1, their list, and
/// how many there are.
macro_rules! columns {
    ($($number:ident: $name:literal $type_oid:ident,)*) => {
        use pgrx::pg_sys::{self, AttrNumber};

        use $crate::store::shape::Column;

        #[allow(dead_code, non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number {
            NONE,
            $($number,)*
        }
        $(#[allow(dead_code)] pub const $number: AttrNumber = Number::$number as AttrNumber;)*
        pub const ALL: &[Column] = &[$(Column { name: $name, type_oid: pg_sys::$type_oid },)*];
        #[allow(dead_code)]
        pub const COUNT: usize = ALL.len();
    };
}
pub(crate) use columns;

/// A table of ours: its name, the column that is its unique key, and all columns.
struct Shape {
    name: &'static CStr,
    key: &'static CStr,
    columns: &'static [Column],
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: c"session",
        key: c"digest",
        columns: session_row::column::ALL,
    },
    Shape {
        name: c"session_event",
        key: c"id",
        columns: event_row::column::ALL,
    },
    Shape {
        name: c"config_parameter",
        key: c"key",
        columns: config_row::column::ALL,
    },
];

/// Checks a relation, which is open, for what the code expects of the table of its name.
///
/// # Errors
/// 55000 where it has been altered.
pub fn check(relation: pg_sys::Relation) -> Result<(), Error> {
    let table = name_of(relation);
    let Some(shape) = SHAPES.iter().find(|shape| shape.name == table) else {
        return Err(Error::TableRenamed { table: table.into() });
    };
    // SAFETY: open, so that its descriptions are there.
    let (kind, row_type) = unsafe { ((*(*relation).rd_rel).relkind, (*relation).rd_att) };
    if kind as u8 != pg_sys::RELKIND_RELATION {
        return Err(Error::NotATable { table: table.into() });
    }
    for (n, column) in shape.columns.iter().enumerate() {
        let missing = || Error::ColumnMissing {
            table: table.into(),
            column: column.name,
        };
        // SAFETY: of an open relation.
        let attribute = unsafe { attribute(row_type, n) }.ok_or_else(missing)?;
        // SAFETY: a column's name ends with a zero.
        if unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()) } != column.name {
            return Err(missing());
        }
        if attribute.atttypid != column.type_oid {
            return Err(Error::ColumnTypeAltered {
                table: table.into(),
                column: column.name,
                is: type_name(attribute.atttypid),
                was: type_name(column.type_oid),
            });
        }
    }
    Ok(())
}

/// That a relation, which is open, has no unique index on its key.
pub fn key_missing(relation: pg_sys::Relation) -> Error {
    let table = name_of(relation);
    let shape = SHAPES.iter().find(|shape| shape.name == table);
    Error::KeyIndexMissing {
        table: table.into(),
        column: shape.map_or(c"", |shape| shape.key),
    }
}

fn name_of<'a>(relation: pg_sys::Relation) -> &'a CStr {
    // SAFETY: open, as the callers say; its name ends with a zero, and stays as long as it is.
    unsafe { CStr::from_ptr((*(*relation).rd_rel).relname.data.as_ptr()) }
}

/// The definition of a column, counted from 0; `None` where there is none, or it has been dropped.
///
/// # Safety
/// The row type is one of PostgreSQL's, and outlives the result.
pub unsafe fn attribute<'a>(row_type: pg_sys::TupleDesc, n: usize) -> Option<&'a pg_sys::FormData_pg_attribute> {
    // SAFETY: by the caller's promise; it has natts columns.
    let attribute = unsafe {
        let count = (*row_type).natts as usize;
        if n >= count {
            return None;
        }
        #[cfg(not(feature = "pg18"))]
        {
            &(*row_type).attrs.as_slice(count)[n]
        }
        #[cfg(feature = "pg18")]
        {
            &*pg_sys::TupleDescAttr(row_type, n as i32)
        }
    };
    (!attribute.attisdropped).then_some(attribute)
}

/// A type's name, for a message.
pub fn type_name(oid: Oid) -> std::ffi::CString {
    // SAFETY: within a transaction; the name is a string in the current memory context.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(oid)).into() }
}
