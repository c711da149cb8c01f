//! Every difference between the major versions of PostgreSQL that this library meets.
//!
//! Conditions are ordered: `since16` is a feature of the build for 16 and for every later version (`Cargo.toml`). A new
//! version is one more line there, and what the compiler then reports, here.

use std::ffi::CStr;
use std::ptr;

use pgrx::pg_sys;

// Since 18 a macro has the old name in C.
#[cfg(not(feature = "since18"))]
pub use pgrx::pg_sys::pqsignal;
#[cfg(feature = "since18")]
pub use pgrx::pg_sys::pqsignal_be as pqsignal;

// PostgreSQL's signal handlers themselves; those of `pg_sys` are wrapped for callers in Rust. Since 19 they also get the
// sender of the signal.
unsafe extern "C-unwind" {
    /// Reloads the configuration.
    pub fn SignalHandlerForConfigReload(signal: i32, #[cfg(feature = "since19")] sender: *const pg_sys::pg_signal_info);
    /// Sets `ShutdownRequestPending`.
    pub fn SignalHandlerForShutdownRequest(
        signal: i32,
        #[cfg(feature = "since19")] sender: *const pg_sys::pg_signal_info,
    );
    /// Ends the process at its next check for interrupts.
    pub fn die(signal: i32, #[cfg(feature = "since19")] sender: *const pg_sys::pg_signal_info);
}

/// A flag of background workers: CREATE DATABASE … TEMPLATE, ALTER DATABASE and DROP DATABASE end a worker that is connected
/// to the database instead of waiting for it. None before 19.
#[cfg(not(feature = "since19"))]
pub const BGWORKER_INTERRUPTIBLE: u32 = 0;
#[cfg(feature = "since19")]
pub use pgrx::pg_sys::BGWORKER_INTERRUPTIBLE;

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
    #[cfg(all(feature = "since18", not(feature = "since19")))]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, ptr::null_mut(), 1, 0)
    }
    // SAFETY: by the caller's promise; no instrumentation.
    #[cfg(feature = "since19")]
    unsafe {
        pg_sys::index_beginscan(table, index, snapshot, ptr::null_mut(), 1, 0, NO_FLAGS)
    }
}

/// Begins a scan of a table from one tid to another, both included.
///
/// # Safety
/// The table is open, and stays open as long as the scan.
pub unsafe fn table_beginscan_tidrange(
    table: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    low: &mut pg_sys::ItemPointerData,
    high: &mut pg_sys::ItemPointerData,
) -> pg_sys::TableScanDesc {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since19"))]
    unsafe {
        pg_sys::table_beginscan_tidrange(table, snapshot, low, high)
    }
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since19")]
    unsafe {
        pg_sys::table_beginscan_tidrange(table, snapshot, low, high, NO_FLAGS)
    }
}

/// For scans and writes since 19. A scan does not promise that its caller writes nothing to the table. A write is decoded
/// like any other: `REPACK (CONCURRENTLY)` copies a table with what it decodes.
#[cfg(feature = "since19")]
const NO_FLAGS: u32 = 0;

/// Prunes a page if that is worth it, and if nobody else pins it.
///
/// # Safety
/// The table is a heap and open; the buffer is one of its pages, pinned and not locked.
pub unsafe fn heap_page_prune_opt(table: pg_sys::Relation, buffer: pg_sys::Buffer) {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since19"))]
    unsafe {
        pg_sys::heap_page_prune_opt(table, buffer);
    }
    // SAFETY: by the caller's promise. The caller writes to the table; a page of the visibility map that was pinned all the
    // same is released.
    #[cfg(feature = "since19")]
    unsafe {
        let mut map = pg_sys::InvalidBuffer as pg_sys::Buffer;
        pg_sys::heap_page_prune_opt(table, buffer, &mut map, false);
        if map != pg_sys::InvalidBuffer as pg_sys::Buffer {
            pg_sys::ReleaseBuffer(map);
        }
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

/// What PostgreSQL's function returns about indexes.
#[cfg(not(feature = "since16"))]
type TableUpdatedIndexes = bool;
#[cfg(feature = "since16")]
type TableUpdatedIndexes = pg_sys::TU_UpdateIndexes::Type;

impl UpdatedIndexes {
    #[cfg(not(feature = "since16"))]
    fn from_table(any: TableUpdatedIndexes) -> Self {
        if any { Self::All } else { Self::None }
    }

    #[cfg(feature = "since16")]
    fn from_table(which: TableUpdatedIndexes) -> Self {
        match which {
            pg_sys::TU_UpdateIndexes::TU_None => Self::None,
            pg_sys::TU_UpdateIndexes::TU_Summarizing => Self::Summarizing,
            _ => Self::All,
        }
    }
}

/// Replaces the tuple at `tid` by the one in a slot. Returns the result, and which indexes need a new entry.
///
/// # Safety
/// The table is open to write, the slot holds a row of its type, and a snapshot that is held sees the tuple.
pub unsafe fn table_tuple_update(
    table: pg_sys::Relation,
    tid: &mut pg_sys::ItemPointerData,
    slot: *mut pg_sys::TupleTableSlot,
    wait: bool,
) -> (pg_sys::TM_Result::Type, UpdatedIndexes) {
    let mut failure = pg_sys::TM_FailureData::default();
    let mut mode = 0;
    let mut indexes = Default::default();
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "since19"))]
    let result = unsafe {
        pg_sys::table_tuple_update(
            table,
            tid,
            slot,
            pg_sys::GetCurrentCommandId(true),
            ptr::null_mut(),
            ptr::null_mut(),
            wait,
            &mut failure,
            &mut mode,
            &mut indexes,
        )
    };
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since19")]
    let result = unsafe {
        pg_sys::table_tuple_update(
            table,
            tid,
            slot,
            pg_sys::GetCurrentCommandId(true),
            NO_FLAGS,
            ptr::null_mut(),
            ptr::null_mut(),
            wait,
            &mut failure,
            &mut mode,
            &mut indexes,
        )
    };
    (result, UpdatedIndexes::from_table(indexes))
}

/// Deletes the tuple at `tid`.
///
/// # Safety
/// The table is open to write, and a snapshot that is held sees the tuple.
pub unsafe fn table_tuple_delete(
    table: pg_sys::Relation,
    tid: &mut pg_sys::ItemPointerData,
    wait: bool,
) -> pg_sys::TM_Result::Type {
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: by the caller's promise; the row is not moving to another partition.
    #[cfg(not(feature = "since19"))]
    unsafe {
        pg_sys::table_tuple_delete(
            table,
            tid,
            pg_sys::GetCurrentCommandId(true),
            ptr::null_mut(),
            ptr::null_mut(),
            wait,
            &mut failure,
            false,
        )
    }
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since19")]
    unsafe {
        pg_sys::table_tuple_delete(
            table,
            tid,
            pg_sys::GetCurrentCommandId(true),
            NO_FLAGS,
            ptr::null_mut(),
            ptr::null_mut(),
            wait,
            &mut failure,
        )
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
    #[cfg(all(feature = "since16", not(feature = "since19")))]
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
    // SAFETY: by the caller's promise.
    #[cfg(feature = "since19")]
    unsafe {
        let mut flags = 0;
        for (flag, is_set) in [
            (pg_sys::EIIT_IS_UPDATE, is_update),
            (pg_sys::EIIT_NO_DUPE_ERROR, is_speculative),
            (pg_sys::EIIT_ONLY_SUMMARIZING, indexes == UpdatedIndexes::Summarizing),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        pg_sys::ExecInsertIndexTuples(target, state, flags, slot, arbiters, &mut has_collided);
    }
    has_collided
}
