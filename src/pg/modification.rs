//! Row locks, and inserts, updates and deletes of rows with their index entries.
//!
//! - **Insert** that must not collide: PostgreSQL's protocol for `INSERT … ON CONFLICT`, speculative insertion.
//! - **Update and delete** of a row that may be waited for: the tuple is locked first. If another transaction changed the
//!   row, the caller looks it up again, whatever the isolation level.
//! - **Update and delete that wait for nobody**, as the worker's: without a lock first. The write itself finds out whether
//!   the tuple is still the newest and free ([`Writer::try_update`], [`Writer::try_delete`]). That saves a WAL record and a
//!   visit of the page for each row.

use std::cell::Cell;
use std::ffi::CStr;
use std::ops::Deref;
use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys::{self, Oid};

use super::backend_local::BackendLocal;
use super::compat::{self, UpdatedIndexes};
use super::relation::Table;
use super::shape::TableRef;
use super::slot::{Slot, Tuple};
use super::snapshot::LatestSnapshot;
use crate::error::Error;
use crate::guc;

/// The values of a row.
pub type Values = Vec<Option<pg_sys::Datum>>;

/// What to do about a row that another transaction has locked or changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockWait {
    /// Wait for the end of that transaction.
    Wait,
    /// Skip the row.
    Skip,
}

/// How a row is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// `FOR NO KEY UPDATE`: to change columns that are no key.
    NoKeyUpdate,
    /// `FOR UPDATE`: to delete the row, or to change its key.
    Update,
}

/// A locked tuple, the newest of its row.
pub struct LockedTuple {
    tuple: Tuple,
    _slot: Slot,
}

impl Deref for LockedTuple {
    type Target = Tuple;

    fn deref(&self) -> &Tuple {
        &self.tuple
    }
}

/// The result of an attempt to lock a tuple.
pub enum LockOutcome {
    /// It is locked.
    Locked(LockedTuple),
    /// It was updated or deleted meanwhile: the caller looks its key up again.
    Changed,
    /// Another transaction has locked it, and [`LockWait::Skip`] was asked for.
    Busy,
}

/// The result of an attempt to write a tuple that is not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Yes,
    /// It is no longer the newest tuple of its row, or another transaction has locked it.
    No,
}

/// Writes to one table.
pub struct Writer {
    state: *mut pg_sys::EState,
    target: *mut pg_sys::ResultRelInfo,
    /// For a row made of values.
    row: Slot,
    // Last, so that it is closed last.
    table: Table,
}

impl Writer {
    /// Opens a table and its indexes, under `RowExclusiveLock` to the end of the transaction.
    ///
    /// # Errors
    /// 55000 if the table does not exist: somebody has dropped the extension.
    pub fn open(table: TableRef) -> Result<Self, Error> {
        Table::open_to_write(table).map(Self::on).ok_or(Error::NotInstalled)
    }

    /// As [`Self::open`], but `None` at once if the lock is not free, or if the table does not exist.
    pub fn try_open(table: TableRef) -> Option<Self> {
        Table::try_open_to_write(table).map(Self::on)
    }

    /// The table, for scans.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn on(table: Table) -> Self {
        // SAFETY: the table outlives the writer; the executor's state is freed on drop, or with its memory context.
        unsafe {
            let state = pg_sys::CreateExecutorState();
            // PostgreSQL 19 reads it when it looks for a conflicting key, in SERIALIZABLE; minor versions of others may follow.
            // This snapshot is no MVCC one, for which predicate locks are taken.
            (*state).es_snapshot = &raw mut pg_sys::SnapshotAnyData;
            let target = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            (*target).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::InitResultRelInfo(target, table.relation(), 0, ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(target, true);
            let row = table.new_virtual_slot();
            Self {
                state,
                target,
                row,
                table,
            }
        }
    }

    /// Locks the tuple at `tid`, which `snapshot` sees, if it is still the newest of its row.
    ///
    /// # Errors
    /// 27000 if the current command itself wrote the row, and `wait` is [`LockWait::Wait`].
    pub fn lock(
        &self,
        mut tid: pg_sys::ItemPointerData,
        snapshot: &LatestSnapshot,
        mode: LockMode,
        wait: LockWait,
    ) -> Result<LockOutcome, Error> {
        let slot = self.table.new_slot();
        let mode = match mode {
            LockMode::NoKeyUpdate => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
            LockMode::Update => pg_sys::LockTupleMode::LockTupleExclusive,
        };
        let policy = match wait {
            LockWait::Wait => pg_sys::LockWaitPolicy::LockWaitBlock,
            LockWait::Skip => pg_sys::LockWaitPolicy::LockWaitSkip,
        };
        let mut failure = pg_sys::TM_FailureData::default();
        // SAFETY: the table is open to write, the slot is of its kind.
        let result = unsafe {
            pg_sys::table_tuple_lock(
                self.table.relation(),
                &mut tid,
                snapshot.as_ptr(),
                slot.as_ptr(),
                pg_sys::GetCurrentCommandId(true),
                mode,
                policy,
                0,
                &mut failure,
            )
        };
        match result {
            pg_sys::TM_Result::TM_Ok => {
                // SAFETY: table_tuple_lock left the locked tuple in the slot, which the result owns.
                let tuple = unsafe { Tuple::in_slot(slot.as_ptr()) };
                Ok(LockOutcome::Locked(LockedTuple { tuple, _slot: slot }))
            }
            pg_sys::TM_Result::TM_Updated | pg_sys::TM_Result::TM_Deleted => Ok(LockOutcome::Changed),
            _ if wait == LockWait::Skip => Ok(LockOutcome::Busy),
            _ => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Inserts a row; a duplicate key raises 23505. Columns behind the given values, which somebody added to the table, get
    /// their defaults.
    ///
    /// # Errors
    /// 23502, 0A000: see [`Table::default_value`].
    pub fn insert(&mut self, mut values: Values) -> Result<(), Error> {
        self.complete(&mut values)?;
        let slot = self.fill_row(&values);
        // SAFETY: the slot holds a row of the table's type.
        unsafe {
            pg_sys::simple_table_tuple_insert(self.table.relation(), slot);
            self.insert_index_entries(slot, false, UpdatedIndexes::All, ptr::null_mut());
        }
        Ok(())
    }

    /// Inserts a row unless its key in the unique index `key` is taken. Waits for a running transaction that has inserted or
    /// deleted the key. `values` has the key; `fill` adds the rest after the last wait. Returns whether the row was inserted:
    /// if not, a committed row was there a moment ago.
    ///
    /// # Errors
    /// As [`Self::insert`]; 55000 if `key` is invalid because somebody dropped the index.
    pub fn insert_unless_present(
        &mut self,
        mut values: Values,
        key: Oid,
        fill: impl FnOnce(&mut Values),
    ) -> Result<bool, Error> {
        if !self.is_key_free(&values, key)? {
            return Ok(false);
        }
        fill(&mut values);
        self.complete(&mut values)?;
        let slot = self.fill_row(&values);
        // SAFETY: the slot holds a row of the table's type. The order is that of ExecInsert for ON CONFLICT.
        unsafe {
            let arbiters = pg_sys::lappend_oid(ptr::null_mut(), key);
            let xid = pg_sys::GetCurrentTransactionId();
            let token = pg_sys::SpeculativeInsertionLockAcquire(xid);
            pg_sys::table_tuple_insert_speculative(
                self.table.relation(),
                slot,
                pg_sys::GetCurrentCommandId(true),
                0,
                ptr::null_mut(),
                token,
            );
            let collided = self.insert_index_entries(slot, false, UpdatedIndexes::All, arbiters);
            pg_sys::table_tuple_complete_speculative(self.table.relation(), slot, token, !collided);
            pg_sys::SpeculativeInsertionLockRelease(xid);
            Ok(!collided)
        }
    }

    /// Whether the key of these values in the unique index `key` is free. Waits for a running transaction that has inserted
    /// or deleted the key.
    ///
    /// # Errors
    /// 55000 if `key` is invalid because somebody dropped the index.
    pub fn is_key_free(&mut self, values: &Values, key: Oid) -> Result<bool, Error> {
        if key == Oid::INVALID {
            return Err(self.table.shape().key_missing());
        }
        let mut values = values.clone();
        values.resize(self.table.columns(), None);
        let slot = self.fill_row(&values);
        // SAFETY: the slot holds a row of the table's type.
        unsafe {
            let arbiters = pg_sys::lappend_oid(ptr::null_mut(), key);
            let mut conflict = pg_sys::ItemPointerData::default();
            Ok(compat::has_no_conflict(
                self.target,
                slot,
                self.state,
                &mut conflict,
                arbiters,
            ))
        }
    }

    /// Adds the values of the columns that the table has behind these.
    fn complete(&self, values: &mut Values) -> Result<(), Error> {
        for n in values.len()..self.table.columns() {
            values.push(self.table.default_value(n as pg_sys::AttrNumber + 1, self.state)?);
        }
        Ok(())
    }

    /// Gives a locked row new values: `change` gets the present ones. A duplicate key raises 23505.
    pub fn update(&mut self, row: &LockedTuple, change: impl FnOnce(&mut Values)) -> Result<(), Error> {
        match self.update_tuple(row, LockWait::Wait, change) {
            Written::Yes => Ok(()),
            // It is locked, so it is the newest.
            Written::No => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Gives a row new values if this tuple is its newest and nobody else has locked it. Waits for nobody.
    ///
    /// `heap_update` has an assertion that no caller updates without waiting:
    /// `Assert(result != TM_BeingModified || wait)`, "see below about the 'no wait' case" (heapam.c, 15 to 18). All code
    /// below it provides for that case: it returns `TM_BeingModified`. To look first whether the tuple is free does not
    /// satisfy the assertion, since nothing keeps it free until `heap_update` has locked the page, and to lock the tuple
    /// first costs what this way saves. So a server that was compiled with assertions gets [`Written::No`] always, and the
    /// caller takes its way with a lock. `session_timeout.debug_lock_before_update` does the same on any server, so that a
    /// test can compare what both ways write.
    pub fn try_update(&mut self, row: &Tuple, change: impl FnOnce(&mut Values)) -> Written {
        if server_has_assertions() || guc::debug_lock_before_update() {
            return Written::No;
        }
        self.update_tuple(row, LockWait::Skip, change)
    }

    fn update_tuple(&mut self, row: &Tuple, wait: LockWait, change: impl FnOnce(&mut Values)) -> Written {
        let mut values: Values = (1..=self.table.columns())
            .map(|n| row.column(n as pg_sys::AttrNumber))
            .collect();
        change(&mut values);
        let slot = self.fill_row(&values);
        let mut tid = row.tid();
        // SAFETY: a snapshot that is held as long as the tuple sees it; the slot holds a row of the table's type.
        unsafe {
            let (result, indexes) =
                compat::table_tuple_update(self.table.relation(), &mut tid, slot, wait == LockWait::Wait);
            if result != pg_sys::TM_Result::TM_Ok {
                return Written::No;
            }
            self.insert_index_entries(slot, true, indexes, ptr::null_mut());
        }
        Written::Yes
    }

    /// The page of the row that was inserted or updated last.
    pub fn written_page(&self) -> u32 {
        // SAFETY: the slot is ours; inserts and updates leave the row's place in it.
        unsafe { pgrx::itemptr::item_pointer_get_block_number(&(*self.row.as_ptr()).tts_tid) }
    }

    /// Deletes a locked row.
    pub fn delete(&mut self, row: &LockedTuple) -> Result<(), Error> {
        match self.delete_at(row.tid(), LockWait::Wait) {
            Written::Yes => Ok(()),
            // It is locked, so it is the newest.
            Written::No => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Deletes a row if the tuple at `tid` is its newest and nobody else has locked it. Waits for nobody. A snapshot that is
    /// still held sees the tuple.
    pub fn try_delete(&mut self, tid: pg_sys::ItemPointerData) -> Written {
        self.delete_at(tid, LockWait::Skip)
    }

    fn delete_at(&mut self, mut tid: pg_sys::ItemPointerData, wait: LockWait) -> Written {
        // SAFETY: a snapshot sees the tuple, as callers promise, so the place is still its own.
        let result = unsafe { compat::table_tuple_delete(self.table.relation(), &mut tid, wait == LockWait::Wait) };
        if result == pg_sys::TM_Result::TM_Ok {
            Written::Yes
        } else {
            Written::No
        }
    }

    /// The slot for rows made of values, filled with these, one for each column.
    fn fill_row(&mut self, values: &Values) -> *mut pg_sys::TupleTableSlot {
        let slot = self.row.as_ptr();
        // SAFETY: a virtual slot has room for as many values as the table has columns; it refers to what they refer to, until
        // it is filled again.
        unsafe {
            pg_sys::ExecClearTuple(slot);
            debug_assert_eq!(values.len(), self.table.columns());
            for (n, value) in values.iter().enumerate().take(self.table.columns()) {
                *(*slot).tts_values.add(n) = value.unwrap_or(pg_sys::Datum::from(0_usize));
                *(*slot).tts_isnull.add(n) = value.is_none();
            }
            pg_sys::ExecStoreVirtualTuple(slot);
            (*slot).tts_tableOid = (*self.table.relation()).rd_id;
        }
        slot
    }

    /// Makes the index entries of a row just written. With `arbiters`, returns whether they collided.
    ///
    /// # Safety
    /// The slot holds a row of the table, with its place.
    unsafe fn insert_index_entries(
        &mut self,
        slot: *mut pg_sys::TupleTableSlot,
        is_update: bool,
        indexes: UpdatedIndexes,
        arbiters: *mut pg_sys::List,
    ) -> bool {
        // SAFETY: the indexes are open. What the expressions of indexes allocated is no longer needed.
        unsafe {
            let collided = compat::insert_index_entries(self.target, slot, self.state, is_update, indexes, arbiters);
            let context = (*self.state).es_per_tuple_exprcontext;
            if !context.is_null() {
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
            collided
        }
    }
}

/// Whether the server was built with assertions, as developers of PostgreSQL do.
fn server_has_assertions() -> bool {
    static KNOWN: BackendLocal<Cell<Option<bool>>> = BackendLocal::new(Cell::new(None));
    if let Some(known) = KNOWN.get() {
        return known;
    }
    // SAFETY: every server has this setting; its value is a string that lasts until the next call.
    let has = unsafe {
        let value = pg_sys::GetConfigOption(c"debug_assertions".as_ptr(), true, false);
        !value.is_null() && CStr::from_ptr(value) == c"on"
    };
    KNOWN.set(Some(has));
    has
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: made in new, dropped once.
            unsafe {
                pg_sys::ExecCloseIndices(self.target);
                pg_sys::FreeExecutorState(self.state);
            }
        }
    }
}
