//! Finding many rows by a unique key, one after another, as they are at one moment.
//!
//! What a single look-up does anew each time, opening the index and taking a snapshot, is done once.

use std::ops::ControlFlow;
use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys;
use session_timeout_core::digest::Digest;

use super::scan::{Version, rows_by_key};
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

    /// What it sees by.
    pub fn snapshot(&self) -> &Latest {
        &self.snapshot
    }

    /// The newest version of a session's row; `None` where there was no such row at that moment. Valid until the next
    /// call.
    pub fn find(&mut self, digest: &Digest) -> Option<Version> {
        let Self {
            slot,
            index: Some(index),
            snapshot,
            table,
        } = self
        else {
            return self.find_without_index(digest);
        };
        index.look_for(digest);
        while index.next_into(slot) {
            // SAFETY: the slot holds a version of a row of the table, until the next call.
            unsafe {
                if pg_sys::table_tuple_satisfies_snapshot(table.relation(), slot.as_ptr(), snapshot.as_ptr()) {
                    return Some(Version::in_slot(slot.as_ptr()));
                }
            }
        }
        None
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

    /// Somebody has taken the primary key away.
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

/// The primary key's index, and a scan of it that is begun anew for each key.
struct OpenIndex {
    relation: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    key: Box<Key>,
}

/// A digest as a `bytea` value, and the condition that the index's first column equals it.
#[repr(C)]
struct Key {
    header: u32,
    digest: [u8; Digest::LEN],
    condition: pg_sys::ScanKeyData,
}

impl OpenIndex {
    /// `None` where the primary key is none of digests.
    fn on_digests(table: &Table) -> Option<Self> {
        let oid = table.primary_key();
        if oid == pg_sys::Oid::INVALID {
            return None;
        }
        let mut key = Box::new(Key {
            header: 0,
            digest: [0; Digest::LEN],
            condition: pg_sys::ScanKeyData::default(),
        });
        let value = ptr::from_mut(&mut key.header);
        // SAFETY: the table is open, and so is its index until it is closed. The key's header and digest make a bytea value,
        // which stays where it is as long as the scan. SnapshotAny is a constant of PostgreSQL's.
        unsafe {
            let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let relation = pg_sys::index_open(oid, mode);
            let form = (*relation).rd_index;
            if (*form).indnkeyatts != 1 || *(*form).indkey.values.as_ptr() != column::DIGEST {
                pg_sys::index_close(relation, mode);
                return None;
            }
            pgrx::varlena::set_varsize_4b(value.cast(), (size_of::<u32>() + Digest::LEN) as i32);
            pg_sys::ScanKeyInit(
                &mut key.condition,
                1,
                pg_sys::BTEqualStrategyNumber as _,
                pg_sys::F_BYTEAEQ.into(),
                pg_sys::Datum::from(value),
            );
            let any = &raw mut pg_sys::SnapshotAnyData;
            let scan = begin_scan(table, relation, any);
            Some(Self { relation, scan, key })
        }
    }

    fn look_for(&mut self, digest: &Digest) {
        self.key.digest = *digest.as_bytes();
        // SAFETY: the scan is open; it copies the condition, whose value stays.
        unsafe { pg_sys::index_rescan(self.scan, &mut self.key.condition, 1, ptr::null_mut(), 0) };
    }

    /// Whether there is another version.
    fn next_into(&self, slot: &Slot) -> bool {
        // SAFETY: the scan is open, the slot is of the table's kind.
        unsafe { pg_sys::index_getnext_slot(self.scan, pg_sys::ScanDirection::ForwardScanDirection, slot.as_ptr()) }
    }
}

/// # Safety
/// Both are open, and the index is the table's.
unsafe fn begin_scan(table: &Table, index: pg_sys::Relation, snapshot: pg_sys::Snapshot) -> pg_sys::IndexScanDesc {
    // SAFETY: by the caller's promise.
    #[cfg(not(feature = "pg18"))]
    unsafe {
        pg_sys::index_beginscan(table.relation(), index, snapshot, 1, 0)
    }
    // SAFETY: by the caller's promise; nobody counts the scan.
    #[cfg(feature = "pg18")]
    unsafe {
        pg_sys::index_beginscan(table.relation(), index, snapshot, ptr::null_mut(), 1, 0)
    }
}

impl Drop for OpenIndex {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: open until here.
            unsafe {
                pg_sys::index_endscan(self.scan);
                pg_sys::index_close(self.relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            }
        }
    }
}
