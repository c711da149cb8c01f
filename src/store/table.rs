//! Open tables and snapshots, released when they go out of scope.
//!
//! Where an ERROR unwinds, nothing is released here: the transaction's resource owner does it.

use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys::{self, Oid};

/// An open table.
pub struct Table {
    relation: pg_sys::Relation,
    /// The lock to release on closing; `NoLock` keeps it to the end of the transaction.
    release: pg_sys::LOCKMODE,
}

impl Table {
    /// Opens for reading, under `AccessShareLock`, which is released on closing. Waits for DDL, never for a row.
    /// `None` where the table is gone.
    pub fn open_to_read(oid: Oid) -> Option<Self> {
        let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        // SAFETY: within a transaction.
        let relation = unsafe { pg_sys::try_table_open(oid, mode) };
        (!relation.is_null()).then(|| Self {
            relation,
            release: mode,
        })
    }

    /// Opens for reading, under `AccessShareLock` kept to the end of the transaction; `None` at once where the lock would
    /// have to be waited for, or the table is gone.
    pub fn try_open_to_read(oid: Oid) -> Option<Self> {
        Self::try_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
    }

    /// Opens for writing, under `RowExclusiveLock`, kept to the end of the transaction as DML does. `None` where the table
    /// is gone.
    pub fn open_to_write(oid: Oid) -> Option<Self> {
        // SAFETY: within a transaction.
        let relation = unsafe { pg_sys::try_table_open(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE) };
        (!relation.is_null()).then(|| Self {
            relation,
            release: pg_sys::NoLock as pg_sys::LOCKMODE,
        })
    }

    /// As [`Self::open_to_write`], but `None` at once where the lock would have to be waited for.
    pub fn try_open_to_write(oid: Oid) -> Option<Self> {
        Self::try_open(oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE)
    }

    fn try_open(oid: Oid, mode: pg_sys::LOCKMODE) -> Option<Self> {
        let release = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: within a transaction.
        let relation = unsafe {
            if !pg_sys::ConditionalLockRelationOid(oid, mode) {
                return None;
            }
            pg_sys::try_table_open(oid, release)
        };
        (!relation.is_null()).then(|| Self { relation, release })
    }

    /// A second handle of it, under the first one's lock.
    pub fn again(&self) -> Self {
        let release = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: it is locked as long as the first handle is, or to the end of the transaction.
        let relation = unsafe { pg_sys::table_open((*self.relation).rd_id, release) };
        Self { relation, release }
    }

    /// Whether its rows lie in a heap, as they do unless somebody has set another default.
    pub fn is_heap(&self) -> bool {
        // SAFETY: open.
        unsafe { std::ptr::eq((*self.relation).rd_tableam, pg_sys::GetHeapamTableAmRoutine()) }
    }

    /// Its owner.
    pub fn owner(&self) -> Oid {
        // SAFETY: open.
        unsafe { (*(*self.relation).rd_rel).relowner }
    }

    /// PostgreSQL's handle, valid as long as this is.
    pub fn relation(&self) -> pg_sys::Relation {
        self.relation
    }

    /// The shape of its rows.
    pub fn row_type(&self) -> pg_sys::TupleDesc {
        // SAFETY: open.
        unsafe { (*self.relation).rd_att }
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        // SAFETY: open.
        unsafe { (*self.row_type()).natts as usize }
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        // SAFETY: open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// Its primary key's index as it is now (REINDEX CONCURRENTLY may have changed it), invalid where it has none.
    pub fn primary_key(&self) -> Oid {
        // SAFETY: open; the list is a copy.
        unsafe {
            pg_sys::list_free(pg_sys::RelationGetIndexList(self.relation));
            (*self.relation).rd_pkindex
        }
    }

    /// Its first valid index whose first column is `column`; invalid where it has none.
    pub fn index_on(&self, column: pg_sys::AttrNumber) -> Oid {
        // SAFETY: open; an index in the list stays while its table is locked.
        unsafe {
            let list = pg_sys::RelationGetIndexList(self.relation);
            let indexes = pgrx::PgList::<u8>::from_pg(list);
            let found = indexes.iter_oid().find(|&oid| {
                let index = pg_sys::index_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
                let form = (*index).rd_index;
                let fits = (*form).indisvalid && *(*form).indkey.values.as_ptr() == column;
                pg_sys::index_close(index, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
                fits
            });
            found.unwrap_or(Oid::INVALID)
        }
    }

    /// A slot for versions that a scan or a lock brings.
    pub fn new_slot(&self) -> Slot {
        // SAFETY: open.
        Slot(unsafe { pg_sys::table_slot_create(self.relation, ptr::null_mut()) })
    }

    /// A slot for a row made of values.
    pub fn new_virtual_slot(&self) -> Slot {
        // SAFETY: open; the row type stays while the table is open.
        Slot(unsafe { pg_sys::MakeSingleTupleTableSlot(self.row_type(), &pg_sys::TTSOpsVirtual) })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: open until here.
            unsafe { pg_sys::table_close(self.relation, self.release) };
        }
    }
}

/// A tuple slot; dropping it lets go of the buffer that it pins.
pub struct Slot(*mut pg_sys::TupleTableSlot);

impl Slot {
    /// PostgreSQL's handle, valid as long as this is.
    pub fn as_ptr(&self) -> *mut pg_sys::TupleTableSlot {
        self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: made by Table, dropped once.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.0) };
        }
    }
}

/// A snapshot of this moment: it sees every commit that has returned, and all that the current transaction has done.
///
/// It is the one that scans of system catalogs use, taken anew each time for tables that are none. Unlike
/// `GetLatestSnapshot` it may be taken in a parallel operation too.
pub struct Latest(pg_sys::Snapshot);

impl Latest {
    /// Takes it.
    pub fn take(table: &Table) -> Self {
        // SAFETY: within a transaction; registering copies it.
        Self(unsafe { pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot((*table.relation()).rd_id)) })
    }

    /// PostgreSQL's handle, valid as long as this is.
    pub fn as_ptr(&self) -> pg_sys::Snapshot {
        self.0
    }
}

impl Drop for Latest {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: registered by take, dropped once.
            unsafe { pg_sys::UnregisterSnapshot(self.0) };
        }
    }
}
