//! What a table of ours must look like, and whether it still does.
//!
//! Rows are read by column number, and values by the type that the install script gave them. If an administrator alters a
//! table, a value would be taken for what it is not, and a number for an address. So a table is compared each time it is
//! opened, under its lock: a few comparisons. Columns that somebody added behind ours are allowed.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::{self, Oid};

use super::compat::attribute;
use crate::error::Error;

/// A column of a table.
pub struct Column {
    pub name: &'static CStr,
    pub type_oid: Oid,
}

/// A table: its name, the column that is its unique key, and its columns in their order.
pub struct Shape {
    pub name: &'static CStr,
    pub key: &'static CStr,
    pub columns: &'static [Column],
}

/// A table of ours: which one, and what it must look like.
#[derive(Clone, Copy)]
pub struct TableRef {
    pub oid: Oid,
    pub shape: &'static Shape,
}

/// Declares the columns of a table in the order of the install script: a number for each, counted from 1, their list, and
/// how many there are.
macro_rules! columns {
    ($($number:ident: $name:literal $type_oid:ident,)*) => {
        use pgrx::pg_sys::{self, AttrNumber};

        use $crate::pg::shape::Column;

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

impl Shape {
    /// Compares an open relation with this shape.
    ///
    /// # Errors
    /// 55000 if it was altered.
    pub fn check(&self, relation: pg_sys::Relation) -> Result<(), Error> {
        // SAFETY: open; its name is null-terminated and lives as long as it is open.
        let (form, row_type, table) = unsafe {
            let form = &*(*relation).rd_rel;
            (form, (*relation).rd_att, CStr::from_ptr(form.relname.data.as_ptr()))
        };
        if table != self.name {
            return Err(Error::TableRenamed { table: table.into() });
        }
        if form.relkind as u8 != pg_sys::RELKIND_RELATION {
            return Err(Error::NotATable { table: table.into() });
        }
        for (n, column) in self.columns.iter().enumerate() {
            let missing = || Error::ColumnMissing {
                table: table.into(),
                column: column.name,
            };
            // SAFETY: of an open relation.
            let found = unsafe { attribute(row_type, n) }.ok_or_else(missing)?;
            // SAFETY: a column's name is null-terminated.
            if unsafe { CStr::from_ptr(found.attname.data.as_ptr()) } != column.name {
                return Err(missing());
            }
            if found.atttypid != column.type_oid {
                return Err(Error::ColumnTypeAltered {
                    table: table.into(),
                    column: column.name,
                    is: type_name(found.atttypid),
                    was: type_name(column.type_oid),
                });
            }
        }
        Ok(())
    }

    /// The error of a table that has no unique index on its key.
    pub fn key_missing(&self) -> Error {
        Error::KeyIndexMissing {
            table: self.name.into(),
            column: self.key,
        }
    }
}

/// The name of a type, for a message.
pub fn type_name(oid: Oid) -> CString {
    // SAFETY: within a transaction; the name is a string in the current memory context.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(oid)).into() }
}
