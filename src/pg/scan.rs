//! Scans that find the newest committed tuple of each row, and take no predicate locks.
//!
//! A scan runs with `SnapshotAny` and tests each tuple against a [`LatestSnapshot`]. An index leads to every tuple of a row
//! that the snapshot could see, and exactly one of them passes.

use std::ops::{ControlFlow, Range};
use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys::{self, Oid};

use super::compat;
use super::relation::Table;
use super::slot::{Slot, Tuple};
use super::snapshot::LatestSnapshot;

/// Calls `each` for the tuple that `snapshot` sees of every row whose `column` equals `key`, until it breaks. Returns what it
/// broke with. `index` has that column first; if it is invalid, the whole table is read.
///
/// `equals` is the OID of the equality function for `key`.
pub fn rows_by_key<T>(
    table: &Table,
    snapshot: &LatestSnapshot,
    index: Oid,
    column: pg_sys::AttrNumber,
    equals: u32,
    key: pg_sys::Datum,
    mut each: impl FnMut(Tuple) -> ControlFlow<T>,
) -> Option<T> {
    if index != Oid::INVALID && table.is_heap() {
        return rows_by_index(table, snapshot, index, equals, key, each);
    }
    let mut scan_key = pg_sys::ScanKeyData::default();
    // SAFETY: the table is open, the key outlives the scan; SnapshotAny is a constant of PostgreSQL's.
    let scan = unsafe {
        pg_sys::ScanKeyInit(
            &mut scan_key,
            column,
            pg_sys::BTEqualStrategyNumber as _,
            equals.into(),
            key,
        );
        let any = &raw mut pg_sys::SnapshotAnyData;
        KeyScan(pg_sys::systable_beginscan(
            table.relation(),
            index,
            index != Oid::INVALID,
            any,
            1,
            &mut scan_key,
        ))
    };
    // SAFETY: the scan is open; its slot holds the tuple that getnext found.
    unsafe {
        while !pg_sys::systable_getnext(scan.0).is_null() {
            let slot = (*scan.0).slot;
            if pg_sys::table_tuple_satisfies_snapshot(table.relation(), slot, snapshot.as_ptr())
                && let ControlFlow::Break(found) = each(Tuple::in_slot(slot))
            {
                return Some(found);
            }
        }
    }
    None
}

/// As [`rows_by_key`], by an index of a heap. The pages of the heap are read here and not by the index scan, which would
/// prune pages that are full of dead tuples, and write WAL for it.
fn rows_by_index<T>(
    table: &Table,
    snapshot: &LatestSnapshot,
    index: Oid,
    equals: u32,
    key: pg_sys::Datum,
    mut each: impl FnMut(Tuple) -> ControlFlow<T>,
) -> Option<T> {
    let slot = table.new_slot();
    let mut scan = IndexScan::new(table, index);
    scan.look_for(equals, key);
    while let Some(place) = scan.next_place() {
        // SAFETY: the table is a heap, and the slot is of its kind; the scan keeps the places that it leads to from being
        // reused. The slot holds the tuple until the next one is fetched.
        unsafe {
            if fetch_visible(table, snapshot, place, &slot)
                && let ControlFlow::Break(found) = each(Tuple::in_slot(slot.as_ptr()))
            {
                return Some(found);
            }
        }
    }
    None
}

/// Fetches the tuple that `snapshot` sees, of those that an index entry for `place` stands for. Returns whether there is
/// one.
///
/// # Safety
/// The table is a heap, and the slot is of its kind.
pub unsafe fn fetch_visible(
    table: &Table,
    snapshot: &LatestSnapshot,
    mut place: pg_sys::ItemPointerData,
    slot: &Slot,
) -> bool {
    // SAFETY: by the caller's promise. If an ERROR unwinds, PostgreSQL releases buffers and their locks.
    unsafe {
        let buffer = pg_sys::ReadBuffer(table.relation(), pgrx::itemptr::item_pointer_get_block_number(&place));
        let tuple = &raw mut (*slot.as_ptr().cast::<pg_sys::BufferHeapTupleTableSlot>()).base.tupdata;
        let any = &raw mut pg_sys::SnapshotAnyData;
        let (mut is_first, mut is_visible) = (true, false);
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as _);
        while !is_visible
            && pg_sys::heap_hot_search_buffer(
                &mut place,
                table.relation(),
                buffer,
                any,
                tuple,
                ptr::null_mut(),
                is_first,
            )
        {
            is_first = false;
            is_visible = pg_sys::HeapTupleSatisfiesVisibility(tuple, snapshot.as_ptr(), buffer);
        }
        pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as _);
        if is_visible {
            // Pins the buffer as long as it holds the tuple.
            pg_sys::ExecStoreBufferHeapTuple(tuple, slot.as_ptr(), buffer);
            (*slot.as_ptr()).tts_tableOid = (*table.relation()).rd_id;
        }
        pg_sys::ReleaseBuffer(buffer);
        is_visible
    }
}

/// Whether there is a row whose `column` equals `key`: committed, or written by the current transaction, the current
/// command included.
pub fn has_key(table: &Table, index: Oid, column: pg_sys::AttrNumber, equals: u32, key: pg_sys::Datum) -> bool {
    let mut scan_key = pg_sys::ScanKeyData::default();
    // SAFETY: the table is open, the key outlives the scan; SnapshotSelf is a constant of PostgreSQL's.
    unsafe {
        pg_sys::ScanKeyInit(
            &mut scan_key,
            column,
            pg_sys::BTEqualStrategyNumber as _,
            equals.into(),
            key,
        );
        let newest = &raw mut pg_sys::SnapshotSelfData;
        let has_index = index != Oid::INVALID;
        let scan = KeyScan(pg_sys::systable_beginscan(
            table.relation(),
            index,
            has_index,
            newest,
            1,
            &mut scan_key,
        ));
        !pg_sys::systable_getnext(scan.0).is_null()
    }
}

/// Calls `each` for the tuple that `snapshot` sees of every row of the table, in the order of the heap.
pub fn all_rows(table: &Table, snapshot: &LatestSnapshot, mut each: impl FnMut(Tuple)) {
    let slot = table.new_slot();
    // SAFETY: the table is open, and so is the scan until endscan.
    unsafe {
        let any = &raw mut pg_sys::SnapshotAnyData;
        let scan = HeapScan(pg_sys::table_beginscan_strat(
            table.relation(),
            any,
            0,
            ptr::null_mut(),
            true,
            true,
        ));
        while pg_sys::table_scan_getnextslot(scan.0, pg_sys::ScanDirection::ForwardScanDirection, slot.as_ptr()) {
            pgrx::check_for_interrupts!();
            if pg_sys::table_tuple_satisfies_snapshot(table.relation(), slot.as_ptr(), snapshot.as_ptr()) {
                each(Tuple::in_slot(slot.as_ptr()));
            }
        }
    }
}

/// Who can see a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The snapshot sees it.
    Visible,
    /// The snapshot does not see it: it was committed since, or the transaction that wrote it is in progress.
    Pending,
}

/// Calls `each` for the tuples in some pages of the table, of which there is at least one, that the snapshot sees or a later one
/// may see.
pub fn tuples_of_pages(
    table: &Table,
    snapshot: &LatestSnapshot,
    pages: Range<u32>,
    mut each: impl FnMut(Tuple, Visibility),
) {
    let slot = table.new_slot();
    let mut low = pg_sys::ItemPointerData::default();
    let mut high = pg_sys::ItemPointerData::default();
    pgrx::itemptr::item_pointer_set_all(&mut low, pages.start, 1);
    pgrx::itemptr::item_pointer_set_all(&mut high, pages.end - 1, u16::MAX);
    // It sees what is committed at the moment of each test, and what transactions in progress have inserted or deleted.
    let mut dirty = pg_sys::SnapshotData {
        snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
        ..Default::default()
    };
    // SAFETY: the table is open, and so is the scan until endscan.
    unsafe {
        let any = &raw mut pg_sys::SnapshotAnyData;
        let scan = HeapScan(compat::table_beginscan_tidrange(
            table.relation(),
            any,
            &mut low,
            &mut high,
        ));
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        let sees = |snapshot| pg_sys::table_tuple_satisfies_snapshot(table.relation(), slot.as_ptr(), snapshot);
        while pg_sys::table_scan_getnextslot_tidrange(scan.0, forward, slot.as_ptr()) {
            if sees(snapshot.as_ptr()) {
                each(Tuple::in_slot(slot.as_ptr()), Visibility::Visible);
            } else if sees(&mut dirty) {
                each(Tuple::in_slot(slot.as_ptr()), Visibility::Pending);
            }
        }
    }
}

/// Calls `each` for the tuple that `snapshot` sees of every row, in the order of an index on a `bigint`, from `from` on, until
/// it breaks.
pub fn rows_in_order(
    table: &Table,
    snapshot: &LatestSnapshot,
    index: Oid,
    from: i64,
    mut each: impl FnMut(Tuple) -> ControlFlow<()>,
) {
    let mut condition = pg_sys::ScanKeyData::default();
    let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: the table is open, and so is its index until the scan has ended.
    unsafe {
        let index = pg_sys::index_open(index, mode);
        let any = &raw mut pg_sys::SnapshotAnyData;
        // By its number in the table.
        let column = *(*(*index).rd_index).indkey.values.as_ptr();
        let at_least = pg_sys::BTGreaterEqualStrategyNumber as _;
        pg_sys::ScanKeyInit(&mut condition, column, at_least, pg_sys::F_INT8GE.into(), from.into());
        let scan = pg_sys::systable_beginscan_ordered(table.relation(), index, any, 1, &mut condition);
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        while !pg_sys::systable_getnext_ordered(scan, forward).is_null() {
            pgrx::check_for_interrupts!();
            let slot = (*scan).slot;
            if pg_sys::table_tuple_satisfies_snapshot(table.relation(), slot, snapshot.as_ptr())
                && each(Tuple::in_slot(slot)).is_break()
            {
                break;
            }
        }
        pg_sys::systable_endscan_ordered(scan);
        pg_sys::index_close(index, mode);
    }
}

/// A scan of an index for one value of its first column after another. It finds places, and reads no tuple.
pub struct IndexScan {
    index: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
}

impl IndexScan {
    /// Opens a scan of an index of the table.
    pub fn new(table: &Table, index: Oid) -> Self {
        // SAFETY: the table is open, and so is its index until it is closed; SnapshotAny is a constant of PostgreSQL's.
        unsafe {
            let index = pg_sys::index_open(index, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            let any = &raw mut pg_sys::SnapshotAnyData;
            let scan = compat::index_beginscan(table.relation(), index, any);
            Self { index, scan }
        }
    }

    /// Starts again, for what equals `value` by the function `equals`. The value must live as long as the search for it.
    pub fn look_for(&mut self, equals: u32, value: pg_sys::Datum) {
        let mut condition = pg_sys::ScanKeyData::default();
        // SAFETY: the scan is open; it copies the condition.
        unsafe {
            let equal = pg_sys::BTEqualStrategyNumber as _;
            pg_sys::ScanKeyInit(&mut condition, 1, equal, equals.into(), value);
            pg_sys::index_rescan(self.scan, &mut condition, 1, ptr::null_mut(), 0);
        }
    }

    /// The place of the next entry.
    pub fn next_place(&mut self) -> Option<pg_sys::ItemPointerData> {
        // SAFETY: the scan is open; the place is in its memory, and copied.
        unsafe {
            pg_sys::index_getnext_tid(self.scan, pg_sys::ScanDirection::ForwardScanDirection)
                .as_ref()
                .copied()
        }
    }
}

impl Drop for IndexScan {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: open until here.
            unsafe {
                pg_sys::index_endscan(self.scan);
                pg_sys::index_close(self.index, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            }
        }
    }
}

struct KeyScan(pg_sys::SysScanDesc);

impl Drop for KeyScan {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: open until here.
            unsafe { pg_sys::systable_endscan(self.0) };
        }
    }
}

struct HeapScan(pg_sys::TableScanDesc);

impl Drop for HeapScan {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: open until here.
            unsafe { pg_sys::table_endscan(self.0) };
        }
    }
}
