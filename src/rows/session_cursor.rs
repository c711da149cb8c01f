//! Finds many sessions by their digests, one after another, as of one moment. The index is opened and the snapshot taken
//! once.

use std::ops::ControlFlow;
use std::ptr;

use pgrx::pg_sys;
use session_timeout_core::digest::Digest;

use super::session::{column, digest_datum};
use crate::pg::compat;
use crate::pg::relation::Table;
use crate::pg::scan::{self, IndexScan, rows_by_key};
use crate::pg::slot::{Slot, Tuple};
use crate::pg::snapshot::LatestSnapshot;

/// Finds sessions by their digests. The tuples that it sees cannot be pruned while it lives.
pub struct SessionCursor {
    // In the order in which they must be dropped.
    slot: Slot,
    index: Option<OpenIndex>,
    snapshot: LatestSnapshot,
    table: Table,
}

impl SessionCursor {
    /// A cursor on the session table as of now.
    pub fn new(table: Table) -> Self {
        Self {
            slot: table.new_slot(),
            index: OpenIndex::on_digests(&table),
            snapshot: LatestSnapshot::take(&table),
            table,
        }
    }

    /// Updates this process's idea of which tuples can be pruned. PostgreSQL itself does that only after other transactions
    /// have got ids; if others only read, tuples that nobody needs would be kept as long as this process lives.
    pub fn refresh_prune_horizon(&self) {
        // SAFETY: the table is open. Only the side effect is wanted.
        unsafe { pg_sys::GetOldestNonRemovableTransactionId(self.table.relation()) };
    }

    /// Its snapshot.
    pub fn snapshot(&self) -> &LatestSnapshot {
        &self.snapshot
    }

    /// The newest tuple of a session; `None` if there was no such row at that moment. Valid until the next call. Prunes no
    /// page.
    pub fn find(&mut self, digest: &Digest) -> Option<Tuple> {
        let Some(index) = self.index.as_mut() else {
            return self.find_without_index(digest);
        };
        index.look_for(digest);
        while let Some(place) = index.scan.next_place() {
            // SAFETY: the table is a heap, since its index is open, and the slot is of its kind; it holds the tuple until the
            // next call.
            unsafe {
                if scan::fetch_visible(&self.table, &self.snapshot, place, &self.slot) {
                    return Some(Tuple::in_slot(self.slot.as_ptr()));
                }
            }
        }
        None
    }

    /// As [`Self::find`], for a tuple that will be replaced by one of the same length. Also returns whether its page has room
    /// for that, so that the update is HOT. If it has none, the page is pruned first. (PostgreSQL's own scans prune as soon
    /// as a page's fillfactor reserve is used, which in a flush writes a WAL record of 60 bytes for nearly every row.)
    pub fn find_to_update(&mut self, digest: &Digest) -> Option<(Tuple, bool)> {
        let place = self.find(digest)?.tid();
        let slot = self.slot.as_ptr();
        // SAFETY: the slot holds a tuple of a heap and pins its page. A page is pruned only if nobody else pins it, so the slot
        // releases it before; a tuple that the snapshot sees stays at its place.
        unsafe {
            if !self.table.is_heap() || has_room_to_update(slot) {
                return Some((Tuple::in_slot(slot), true));
            }
            pg_sys::ExecClearTuple(slot);
            let page = pgrx::itemptr::item_pointer_get_block_number(&place);
            let buffer = pg_sys::ReadBuffer(self.table.relation(), page);
            compat::heap_page_prune_opt(self.table.relation(), buffer);
            pg_sys::ReleaseBuffer(buffer);
            let tuple = self.fetch(place)?;
            Some((tuple, has_room_to_update(slot)))
        }
    }

    /// The tuple at a place, if the snapshot sees it. Valid until the next call.
    pub fn fetch(&mut self, mut tid: pg_sys::ItemPointerData) -> Option<Tuple> {
        // SAFETY: the table and the snapshot are open; the slot is of the table's kind and holds what was fetched.
        unsafe {
            pg_sys::table_tuple_fetch_row_version(
                self.table.relation(),
                &mut tid,
                self.snapshot.as_ptr(),
                self.slot.as_ptr(),
            )
            .then(|| Tuple::in_slot(self.slot.as_ptr()))
        }
    }

    /// For a table without the primary key, or that is no heap.
    fn find_without_index(&mut self, digest: &Digest) -> Option<Tuple> {
        let key = digest_datum(digest)?;
        let none = pg_sys::Oid::INVALID;
        let tid = rows_by_key(
            &self.table,
            &self.snapshot,
            none,
            column::DIGEST,
            pg_sys::F_BYTEAEQ,
            key,
            |tuple| ControlFlow::Break(tuple.tid()),
        )?;
        self.fetch(tid)
    }
}

/// Whether the page of the tuple in a slot has room for another one of that length. Read without a lock: if it changes
/// before the update, the update goes to another page.
///
/// # Safety
/// The slot holds a tuple of a heap, and pins its page.
unsafe fn has_room_to_update(slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        let held = &*slot.cast::<pg_sys::BufferHeapTupleTableSlot>();
        let page = pg_sys::BufferGetPage(held.buffer);
        pg_sys::PageGetHeapFreeSpace(page.cast()) >= pg_sys::MAXALIGN((*held.base.tuple).t_len as usize)
    }
}

/// The index of the primary key, and the digest that is searched for.
struct OpenIndex {
    scan: IndexScan,
    key: Box<Key>,
}

/// A digest as a `bytea` value.
#[repr(C)]
struct Key {
    header: u32,
    digest: [u8; Digest::LEN],
}

impl OpenIndex {
    /// `None` if the primary key is not the digest, or the table is no heap.
    fn on_digests(table: &Table) -> Option<Self> {
        let oid = table.primary_key_on(column::DIGEST);
        if oid == pg_sys::Oid::INVALID || !table.is_heap() {
            return None;
        }
        let mut key = Box::new(Key {
            header: 0,
            digest: [0; Digest::LEN],
        });
        let length = size_of::<u32>() + Digest::LEN;
        // SAFETY: the header of a value of this length.
        unsafe { pgrx::varlena::set_varsize_4b(ptr::from_mut(&mut key.header).cast(), length as i32) };
        let scan = IndexScan::new(table, oid);
        Some(Self { scan, key })
    }

    fn look_for(&mut self, digest: &Digest) {
        self.key.digest = *digest.as_bytes();
        // Header and digest are a value, which lives at one place as long as the scan.
        let value = pg_sys::Datum::from(ptr::from_ref(&*self.key));
        self.scan.look_for(pg_sys::F_BYTEAEQ, value);
    }
}
