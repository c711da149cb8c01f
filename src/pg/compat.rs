//! Every difference between the major versions of PostgreSQL that this library meets.
//!
//! Conditions are ordered: `since16` is a feature of the build for 16 and for every later version (`Cargo.toml`). A new
//! version is one more line there, and what the compiler then reports, here.

use std::ffi::CStr;

use pgrx::pg_sys;

// Since 18 a macro has the old name in C.
#[cfg(not(feature = "since18"))]
pub use pgrx::pg_sys::pqsignal;
#[cfg(feature = "since18")]
pub use pgrx::pg_sys::pqsignal_be as pqsignal;

/// Settings that a background process sets for itself, beside those that all versions have.
pub const LATER_SETTINGS: &[(&CStr, &CStr)] = &[
    #[cfg(feature = "since17")]
    (c"transaction_timeout", c"0"),
];

/// The definition of a column, counted from 0; `None` if there is none, or if it was dropped.
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
        #[cfg(not(feature = "since18"))]
        {
            &(*row_type).attrs.as_slice(count)[n]
        }
        #[cfg(feature = "since18")]
        {
            &*pg_sys::TupleDescAttr(row_type, n as i32)
        }
    };
    (!attribute.attisdropped).then_some(attribute)
}

/// Begins a scan of an index with one key.
///
/// # Safety
/// Both relations are open, and stay open as long as the scan.
pub unsafe fn index_beginscan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
) -> pg_sys::IndexScanDesc {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since18"))]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, 1, 0)
    }
    // SAFETY: by the caller's promise; no instrumentation.
    #[cfg(feature = "since18")]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), 1, 0)
    }
}

/// The number of the file of a relation.
///
/// # Safety
/// The relation is open.
pub unsafe fn file_number(relation: pg_sys::Relation) -> u32 {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since16"))]
    unsafe {
        (*relation).rd_node.relNode.into()
    }
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since16")]
    unsafe {
        (*relation).rd_locator.relNumber.into()
    }
}

/// Whether no committed row conflicts with the row in a slot in one of the indexes `arbiters`. Waits for transactions that
/// decide this.
///
/// # Safety
/// The slot holds a row of the table, whose indexes are open.
pub unsafe fn has_no_conflict(
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
    conflict: &mut pg_sys::ItemPointerData,
    arbiters: *mut pg_sys::List,
) -> bool {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since18"))]
    unsafe {
        pg_sys::ExecCheckIndexConstraints(target, slot, state, conflict, arbiters)
    }
    // SAFETY: by the caller's promise; an invalid tid says that the row is not in the table yet.
    #[cfg(feature = "since18")]
    unsafe {
        let mut none = pg_sys::ItemPointerData {
            ip_posid: 0,
            ..Default::default()
        };
        pg_sys::ExecCheckIndexConstraints(target, slot, state, conflict, &mut none, arbiters)
    }
}

/// Which indexes need a new entry after an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum UpdatedIndexes {
    /// None: a HOT update.
    None,
    /// Every one.
    All,
    /// Those whose access method summarizes blocks.
    #[cfg(feature = "since16")]
    Summarizing,
}

/// What `table_tuple_update` returns about indexes.
#[cfg(not(feature = "since16"))]
pub type TableUpdatedIndexes = bool;
/// What `table_tuple_update` returns about indexes.
#[cfg(feature = "since16")]
pub type TableUpdatedIndexes = pg_sys::TU_UpdateIndexes::Type;

impl UpdatedIndexes {
    /// As `table_tuple_update` returned it.
    #[cfg(not(feature = "since16"))]
    pub fn from_table(any: TableUpdatedIndexes) -> Self {
        if any { Self::All } else { Self::None }
    }

    /// As `table_tuple_update` returned it.
    #[cfg(feature = "since16")]
    pub fn from_table(which: TableUpdatedIndexes) -> Self {
        match which {
            pg_sys::TU_UpdateIndexes::TU_None => Self::None,
            pg_sys::TU_UpdateIndexes::TU_Summarizing => Self::Summarizing,
            _ => Self::All,
        }
    }
}

/// Makes the index entries of the row in a slot. With `arbiters`, returns whether the row collided with another.
///
/// # Safety
/// The slot holds a row of the table, with its place, and the indexes are open.
pub unsafe fn insert_index_entries(
    target: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
    is_update: bool,
    indexes: UpdatedIndexes,
    arbiters: *mut pg_sys::List,
) -> bool {
    if indexes == UpdatedIndexes::None {
        return false;
    }
    let is_speculative = !arbiters.is_null();
    let mut has_collided = false;
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since16"))]
    unsafe {
        pg_sys::ExecInsertIndexTuples(
            target,
            slot,
            state,
            is_update,
            is_speculative,
            &mut has_collided,
            arbiters,
        );
    }
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since16")]
    unsafe {
        pg_sys::ExecInsertIndexTuples(
            target,
            slot,
            state,
            is_update,
            is_speculative,
            &mut has_collided,
            arbiters,
            indexes == UpdatedIndexes::Summarizing,
        );
    }
    has_collided
}
