//! Finding many rows by a unique key, one after another, as they are at one moment.
//!
//! What a single look-up does anew each time, opening the index and taking a snapshot, is done once.

use std::ops::ControlFlow;
use std::ptr;

use pgrx::pg_sys;
use session_timeout_core::digest::Digest;

use super::scan::{self, IndexScan, Version, rows_by_key};
use super::session_row::{column, digest_datum};
use super::table::{Latest, Slot, Table};

/// Finds sessions by their digests. The versions that it sees cannot be pruned away while it lives.
pub struct Finder {
    // In the order in which they are to be dropped.
    slot: Slot,
    index: Option<OpenIndex>,
    snapshot: Latest,
    table: Table,
}

impl Finder {
    /// On the session table as it is now.
    pub fn new(table: Table) -> Self {
        Self {
            slot: table.new_slot(),
            index: OpenIndex::on_digests(&table),
            snapshot: Latest::take(&table),
            table,
        }
    }

    /// Finds out what may be pruned now. Left to itself, PostgreSQL asks again only once other transactions have been given
    /// ids, and where others only read, what they need no longer would be kept as long as this process.
    pub fn look_what_may_be_pruned(&self) {
        // SAFETY: the table is open. Only what it notes for itself is wanted.
        unsafe { pg_sys::GetOldestNonRemovableTransactionId(self.table.relation()) };
    }

    /// What it sees by.
    pub fn snapshot(&self) -> &Latest {
        &self.snapshot
    }

    /// The newest version of a session's row; `None` where there was no such row at that moment. Valid until the next
    /// call. Prunes no page.
    pub fn find(&mut self, digest: &Digest) -> Option<Version> {
        let Some(index) = self.index.as_mut() else {
            return self.find_without_index(digest);
        };
        index.look_for(digest);
        while let Some(place) = index.scan.next_place() {
            // SAFETY: the table is a heap, as its index is open, and the slot is of its kind; it holds the version until the
            // next call.
            unsafe {
                if scan::fetch_visible(&self.table, &self.snapshot, place, &self.slot) {
                    return Some(Version::in_slot(self.slot.as_ptr()));
                }
            }
        }
        None
    }

    /// As [`Self::find`], for a version that is to be replaced by one as long, and whether its page has room for that, so
    /// that the update is HOT. Where it has none, the page is pruned first: PostgreSQL's own look-ups prune as soon as a
    /// page's reserve is touched, which in a flush writes a record of 60 bytes for nearly every row.
    pub fn find_to_update(&mut self, digest: &Digest) -> Option<(Version, bool)> {
        let place = self.find(digest)?.tid();
        let slot = self.slot.as_ptr();
        // SAFETY: the slot holds a version, of a heap and with its page pinned where it is asked for that. A page is pruned
        // only where nobody else pins it, so that the slot lets go of it before; what the snapshot sees stays at its place.
        unsafe {
            if !self.table.is_heap() || has_room_to_update(slot) {
                return Some((Version::in_slot(slot), true));
            }
            pg_sys::ExecClearTuple(slot);
            let page = pgrx::itemptr::item_pointer_get_block_number(&place);
            let buffer = pg_sys::ReadBuffer(self.table.relation(), page);
            pg_sys::heap_page_prune_opt(self.table.relation(), buffer);
            pg_sys::ReleaseBuffer(buffer);
            let version = self.fetch(place)?;
            Some((version, has_room_to_update(slot)))
        }
    }

    /// The version at a place, where it is seen. Valid until the next call.
    pub fn fetch(&mut self, mut tid: pg_sys::ItemPointerData) -> Option<Version> {
        // SAFETY: the table and the snapshot are open; the slot is of the table's kind and holds what was fetched.
        unsafe {
            pg_sys::table_tuple_fetch_row_version(
                self.table.relation(),
                &mut tid,
                self.snapshot.as_ptr(),
                self.slot.as_ptr(),
            )
            .then(|| Version::in_slot(self.slot.as_ptr()))
        }
    }

    /// Somebody has taken the primary key away, or the table is no heap.
    fn find_without_index(&mut self, digest: &Digest) -> Option<Version> {
        let key = digest_datum(digest)?;
        let none = pg_sys::Oid::INVALID;
        let tid = rows_by_key(
            &self.table,
            &self.snapshot,
            none,
            column::DIGEST,
            pg_sys::F_BYTEAEQ,
            key,
            |version| ControlFlow::Break(version.tid()),
        )?;
        self.fetch(tid)
    }
}

/// Whether the page of the version that a slot holds has room for another as long. Read without a lock: that may have
/// changed by the time of the update, which then goes to another page.
///
/// # Safety
/// The slot holds a version of a heap, and pins its page.
unsafe fn has_room_to_update(slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        let held = &*slot.cast::<pg_sys::BufferHeapTupleTableSlot>();
        let page = pg_sys::BufferGetPage(held.buffer);
        pg_sys::PageGetHeapFreeSpace(page.cast()) >= pg_sys::MAXALIGN((*held.base.tuple).t_len as usize)
    }
}

/// The primary key's index, and the digest that is looked for in it.
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
    /// `None` where the primary key is none of digests, or the table is no heap.
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
        // Header and digest make a value, which stays where it is as long as the scan.
        let value = pg_sys::Datum::from(ptr::from_ref(&*self.key));
        self.scan.look_for(pg_sys::F_BYTEAEQ, value);
    }
}
