//! Locks on rows, and inserts, updates and deletes of them with their index entries.
//!
//! The insert that must not collide follows PostgreSQL's protocol for `INSERT … ON CONFLICT` (speculative insertion),
//! and what is to be updated or deleted is locked first: whoever finds it changed looks again, whatever the isolation level.
//! Where nobody is waited for, as in maintenance, a row is written without a lock before: the write itself finds out
//! whether the version is still the newest and nobody's ([`Writer::try_update`], [`Writer::try_delete`]). That saves a
//! record in the WAL and a visit of the page.

use std::cell::Cell;
use std::ffi::CStr;
use std::ops::Deref;
use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys::{self, Oid};

use super::scan::Version;
use super::shape;
use super::table::{Latest, Slot, Table};
use crate::error::Error;
use crate::process::PerProcess;

/// The values of a row.
pub type Values = Vec<Option<pg_sys::Datum>>;

/// What to do with a row that another transaction has locked or changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Wait for that transaction to end.
    Wait,
    /// Leave the row alone.
    Skip,
}

/// How a row is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To change columns that are no key.
    Update,
    /// To delete it, or to change its key.
    Remove,
}

/// A row that is locked, in its newest version.
pub struct Locked {
    version: Version,
    _slot: Slot,
}

impl Deref for Locked {
    type Target = Version;

    fn deref(&self) -> &Version {
        &self.version
    }
}

/// What became of the attempt to lock a row.
pub enum Attempt {
    /// It is locked.
    Held(Locked),
    /// It has been updated or deleted since: whoever means its key is to look again.
    Changed,
    /// Another transaction has it, and the attempt was not to wait.
    Busy,
}

/// What became of the attempt to write a row that is not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is written.
    Yes,
    /// It is not the newest version any more, or another transaction is at it.
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
    /// 55000 where the table is gone: somebody has dropped the extension.
    pub fn open(oid: Oid) -> Result<Self, Error> {
        Table::open_to_write(oid).map(Self::on).ok_or(Error::NotInstalled)
    }

    /// As [`Self::open`], but `None` at once where the lock would have to be waited for, or the table is gone.
    pub fn try_open(oid: Oid) -> Option<Self> {
        Table::try_open_to_write(oid).map(Self::on)
    }

    /// The table, for scans.
    pub fn table(&self) -> &Table {
        &self.table
    }

    fn on(table: Table) -> Self {
        // SAFETY: the table outlives the writer; the executor's state is freed on drop, or with its memory context.
        unsafe {
            let state = pg_sys::CreateExecutorState();
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

    /// Locks the version of a row that `snapshot` sees at `tid`, if it is still the newest.
    ///
    /// # Errors
    /// 27000 where the current command itself wrote the row, and this is to wait.
    pub fn lock(
        &self,
        mut tid: pg_sys::ItemPointerData,
        snapshot: &Latest,
        purpose: Purpose,
        patience: Patience,
    ) -> Result<Attempt, Error> {
        let slot = self.table.new_slot();
        let mode = match purpose {
            Purpose::Update => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
            Purpose::Remove => pg_sys::LockTupleMode::LockTupleExclusive,
        };
        let wait = match patience {
            Patience::Wait => pg_sys::LockWaitPolicy::LockWaitBlock,
            Patience::Skip => pg_sys::LockWaitPolicy::LockWaitSkip,
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
                wait,
                0,
                &mut failure,
            )
        };
        match result {
            pg_sys::TM_Result::TM_Ok => {
                // SAFETY: table_tuple_lock left the locked version in the slot, which the result keeps.
                let version = unsafe { Version::in_slot(slot.as_ptr()) };
                Ok(Attempt::Held(Locked { version, _slot: slot }))
            }
            pg_sys::TM_Result::TM_Updated | pg_sys::TM_Result::TM_Deleted => Ok(Attempt::Changed),
            _ if patience == Patience::Skip => Ok(Attempt::Busy),
            _ => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Inserts a row; a duplicate key raises 23505. Columns behind the values given, which somebody has added to the table,
    /// get their defaults.
    ///
    /// # Errors
    /// 23502, 0A000: see [`Table::default_value`].
    pub fn insert(&mut self, mut values: Values) -> Result<(), Error> {
        self.complete(&mut values)?;
        let slot = self.fill_row(&values);
        // SAFETY: the slot holds a row of the table's type.
        unsafe {
            pg_sys::simple_table_tuple_insert(self.table.relation(), slot);
            self.insert_index_entries(slot, false, IndexUpdate::All, ptr::null_mut());
        }
        Ok(())
    }

    /// Inserts a row unless its key in the unique index `key` is taken; waits for a transaction that has inserted or
    /// deleted it and is not over. `values` has the key; `fill` adds the rest when nothing is waited for any more. Whether it
    /// was inserted: if not, a committed row was there a moment ago.
    ///
    /// # Errors
    /// As [`Self::insert`]; 55000 where `key` is invalid, as somebody has taken the index away.
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
            let collided = self.insert_index_entries(slot, false, IndexUpdate::All, arbiters);
            pg_sys::table_tuple_complete_speculative(self.table.relation(), slot, token, !collided);
            pg_sys::SpeculativeInsertionLockRelease(xid);
            Ok(!collided)
        }
    }

    /// Whether the key of these values in the unique index `key` is free; waits for a transaction that has inserted or deleted
    /// it and is not over.
    ///
    /// # Errors
    /// 55000 where `key` is invalid, as somebody has taken the index away.
    pub fn is_key_free(&mut self, values: &Values, key: Oid) -> Result<bool, Error> {
        if key == Oid::INVALID {
            return Err(shape::key_missing(self.table.relation()));
        }
        let mut values = values.clone();
        values.resize(self.table.columns(), None);
        let slot = self.fill_row(&values);
        // SAFETY: the slot holds a row of the table's type.
        unsafe {
            let arbiters = pg_sys::lappend_oid(ptr::null_mut(), key);
            let mut conflict = pg_sys::ItemPointerData::default();
            Ok(self.check_constraints(slot, &mut conflict, arbiters))
        }
    }

    /// Adds the values of columns that the table has behind these.
    fn complete(&self, values: &mut Values) -> Result<(), Error> {
        for n in values.len()..self.table.columns() {
            values.push(self.table.default_value(n as pg_sys::AttrNumber + 1, self.state)?);
        }
        Ok(())
    }

    /// Gives a locked row new values: `change` is handed the present ones. A duplicate key raises 23505.
    pub fn update(&mut self, row: &Locked, change: impl FnOnce(&mut Values)) -> Result<(), Error> {
        match self.update_version(row, Patience::Wait, change) {
            Written::Yes => Ok(()),
            // Locked, so that its version is the newest.
            Written::No => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Gives a row new values if this version is its newest and nobody else has it, waiting for nobody. Always
    /// [`Written::No`] where the server has its assertions compiled in: one of them says that nobody updates a row without
    /// waiting, though all else in `heap_update` provides for it.
    pub fn try_update(&mut self, row: &Version, change: impl FnOnce(&mut Values)) -> Written {
        if server_has_assertions() {
            return Written::No;
        }
        self.update_version(row, Patience::Skip, change)
    }

    fn update_version(&mut self, row: &Version, patience: Patience, change: impl FnOnce(&mut Values)) -> Written {
        let mut values: Values = (1..=self.table.columns())
            .map(|n| row.column(n as pg_sys::AttrNumber))
            .collect();
        change(&mut values);
        let slot = self.fill_row(&values);
        let mut tid = row.tid();
        let mut failure = pg_sys::TM_FailureData::default();
        let mut mode = 0;
        let mut indexes = Default::default();
        // SAFETY: the version is one that a snapshot sees, which is held as long as the row is; the slot holds a row of the
        // table's type.
        unsafe {
            let result = pg_sys::table_tuple_update(
                self.table.relation(),
                &mut tid,
                slot,
                pg_sys::GetCurrentCommandId(true),
                ptr::null_mut(),
                ptr::null_mut(),
                patience == Patience::Wait,
                &mut failure,
                &mut mode,
                &mut indexes,
            );
            if result != pg_sys::TM_Result::TM_Ok {
                return Written::No;
            }
            self.insert_index_entries(slot, true, IndexUpdate::from_table(indexes), ptr::null_mut());
        }
        Written::Yes
    }

    /// Deletes a locked row.
    pub fn delete(&mut self, row: &Locked) -> Result<(), Error> {
        match self.delete_at(row.tid(), Patience::Wait) {
            Written::Yes => Ok(()),
            // Locked, so that its version is the newest.
            Written::No => Err(Error::ModifiedBySameCommand),
        }
    }

    /// Deletes a row if this version is its newest and nobody else has it, waiting for nobody. `tid` is of a version that a
    /// snapshot sees which is still held.
    pub fn try_delete(&mut self, tid: pg_sys::ItemPointerData) -> Written {
        self.delete_at(tid, Patience::Skip)
    }

    fn delete_at(&mut self, mut tid: pg_sys::ItemPointerData, patience: Patience) -> Written {
        let mut failure = pg_sys::TM_FailureData::default();
        // SAFETY: the version is one that a snapshot sees, by the callers' word, so that the place is still its own.
        let result = unsafe {
            pg_sys::table_tuple_delete(
                self.table.relation(),
                &mut tid,
                pg_sys::GetCurrentCommandId(true),
                ptr::null_mut(),
                ptr::null_mut(),
                patience == Patience::Wait,
                &mut failure,
                false,
            )
        };
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

    /// Whether no committed row stands in the way of this one; waits for transactions that decide on it.
    ///
    /// # Safety
    /// The slot holds a row of the table's type.
    unsafe fn check_constraints(
        &self,
        slot: *mut pg_sys::TupleTableSlot,
        conflict: &mut pg_sys::ItemPointerData,
        arbiters: *mut pg_sys::List,
    ) -> bool {
        // SAFETY: the indexes are open.
        #[cfg(any(feature = "pg14", feature = "pg15", feature = "pg16", feature = "pg17"))]
        unsafe {
            pg_sys::ExecCheckIndexConstraints(self.target, slot, self.state, conflict, arbiters)
        }
        // SAFETY: the indexes are open; an invalid tid means that no row of ours is there yet.
        #[cfg(feature = "pg18")]
        unsafe {
            let mut none = pg_sys::ItemPointerData {
                ip_posid: 0,
                ..Default::default()
            };
            pg_sys::ExecCheckIndexConstraints(self.target, slot, self.state, conflict, &mut none, arbiters)
        }
    }

    /// Makes the index entries of a row just written. With `arbiters`, answers whether they collided.
    ///
    /// # Safety
    /// The slot holds a row of the table, with its place.
    unsafe fn insert_index_entries(
        &mut self,
        slot: *mut pg_sys::TupleTableSlot,
        update: bool,
        which: IndexUpdate,
        arbiters: *mut pg_sys::List,
    ) -> bool {
        if which == IndexUpdate::None {
            return false;
        }
        let speculative = !arbiters.is_null();
        let mut collided = false;
        // SAFETY: the indexes are open.
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        unsafe {
            pg_sys::ExecInsertIndexTuples(
                self.target,
                slot,
                self.state,
                update,
                speculative,
                &mut collided,
                arbiters,
            );
        }
        // SAFETY: the indexes are open.
        #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
        unsafe {
            pg_sys::ExecInsertIndexTuples(
                self.target,
                slot,
                self.state,
                update,
                speculative,
                &mut collided,
                arbiters,
                which == IndexUpdate::Summarizing,
            );
        }
        // SAFETY: what the expressions of indexes allocated is no longer needed.
        unsafe {
            let context = (*self.state).es_per_tuple_exprcontext;
            if !context.is_null() {
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            }
        }
        collided
    }
}

/// Whether the server was built with assertions, as developers of PostgreSQL do.
fn server_has_assertions() -> bool {
    static KNOWN: PerProcess<Cell<Option<bool>>> = PerProcess::new(Cell::new(None));
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

/// Which indexes need a new entry after an update.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IndexUpdate {
    /// None: a HOT update.
    None,
    /// Every one.
    All,
    /// Those that summarize blocks (PostgreSQL 16 and later).
    #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
    Summarizing,
}

impl IndexUpdate {
    #[cfg(any(feature = "pg14", feature = "pg15"))]
    fn from_table(any: bool) -> Self {
        if any { Self::All } else { Self::None }
    }

    #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
    fn from_table(which: pg_sys::TU_UpdateIndexes::Type) -> Self {
        match which {
            pg_sys::TU_UpdateIndexes::TU_None => Self::None,
            pg_sys::TU_UpdateIndexes::TU_Summarizing => Self::Summarizing,
            _ => Self::All,
        }
    }
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
