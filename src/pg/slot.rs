//! Tuple slots and the tuples in them.

use std::thread::panicking;

use pgrx::pg_sys::{self, AttrNumber, Datum};

/// A tuple slot. Dropping it releases the buffer that it pins.
pub struct Slot(*mut pg_sys::TupleTableSlot);

impl Slot {
    /// Takes a slot over.
    ///
    /// # Safety
    /// The slot is a single one of PostgreSQL's, and nobody else drops it.
    pub unsafe fn from_raw(slot: *mut pg_sys::TupleTableSlot) -> Self {
        Self(slot)
    }

    /// PostgreSQL's handle, valid as long as this is.
    pub fn as_ptr(&self) -> *mut pg_sys::TupleTableSlot {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: owned by this, dropped once.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.0) };
        }
    }
}

/// A tuple that a scan found: one version of a row. Valid as long as the slot holds it.
#[derive(Clone, Copy)]
pub struct Tuple(*mut pg_sys::TupleTableSlot);

impl Tuple {
    /// The tuple in a slot.
    ///
    /// # Safety
    /// The slot holds a tuple, and holds it as long as the result is used.
    pub unsafe fn in_slot(slot: *mut pg_sys::TupleTableSlot) -> Self {
        Self(slot)
    }

    /// Its place in the table.
    pub fn tid(&self) -> pg_sys::ItemPointerData {
        // SAFETY: the slot holds a tuple.
        unsafe { (*self.0).tts_tid }
    }

    /// The page that it is in.
    pub fn page(&self) -> u32 {
        // SAFETY: a tuple's place is a valid one.
        unsafe { pgrx::itemptr::item_pointer_get_block_number(&self.tid()) }
    }

    /// Whether the current transaction wrote it, so that nobody else sees it yet.
    pub fn is_own(&self) -> bool {
        const XMIN: i32 = pg_sys::MinTransactionIdAttributeNumber;
        let mut is_null = true;
        // SAFETY: the slot holds a tuple, and is of a kind that knows the tuple's transaction.
        unsafe {
            let xmin = (*(*self.0).tts_ops)
                .getsysattr
                .map(|get| pg_sys::ffi::pg_guard_ffi_boundary(|| get(self.0, XMIN, &mut is_null)));
            match xmin {
                Some(xmin) if !is_null => {
                    pg_sys::TransactionIdIsCurrentTransactionId(pg_sys::TransactionId::from(xmin.value() as u32))
                }
                _ => false,
            }
        }
    }

    /// The value of a column, counted from 1; `None` for NULL. For types passed by reference, a reference into the slot.
    pub fn column(&self, column: AttrNumber) -> Option<Datum> {
        let mut is_null = false;
        // SAFETY: the slot holds a tuple; callers name columns that exist.
        let value = unsafe { pg_sys::slot_getattr(self.0, column.into(), &mut is_null) };
        (!is_null).then_some(value)
    }

    /// The value of a `text` column, copied into the current memory context.
    pub fn text(&self, column: AttrNumber) -> Option<Datum> {
        // SAFETY: callers name text columns; the copy is whole.
        self.column(column)
            .map(|datum| unsafe { Datum::from(pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr())) })
    }
}
