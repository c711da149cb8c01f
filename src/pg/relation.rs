//! Open tables, closed when they go out of scope.
//!
//! Opening a table raises 55000 if it is not what the caller expects ([`super::shape`]).

use std::ffi::CStr;
use std::ptr;
use std::thread::panicking;

use pgrx::pg_sys::{self, Oid};

use super::compat;
use super::shape::{Shape, TableRef};
use super::slot::Slot;
use super::transaction::my_database;
use crate::error::Error;

/// An open table.
pub struct Table {
    relation: pg_sys::Relation,
    shape: &'static Shape,
    /// The lock to release on closing; `NoLock` keeps it to the end of the transaction.
    release: pg_sys::LOCKMODE,
}

impl Table {
    /// Opens for reading, under `AccessShareLock`, which is released on closing. Waits for DDL, never for a row.
    /// `None` if the table does not exist.
    pub fn open_to_read(table: TableRef) -> Option<Self> {
        let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        // SAFETY: within a transaction.
        let relation = unsafe { pg_sys::try_table_open(table.oid, mode) };
        Self::checked(relation, table.shape, mode)
    }

    /// Opens for reading, under `AccessShareLock` kept to the end of the transaction. `None` if the lock is not free, or if
    /// the table does not exist.
    pub fn try_open_to_read(table: TableRef) -> Option<Self> {
        Self::try_open(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE)
    }

    /// Opens for writing, under `RowExclusiveLock` kept to the end of the transaction, as DML does. `None` if the table does
    /// not exist.
    pub fn open_to_write(table: TableRef) -> Option<Self> {
        // SAFETY: within a transaction.
        let relation = unsafe { pg_sys::try_table_open(table.oid, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE) };
        Self::checked(relation, table.shape, pg_sys::NoLock as pg_sys::LOCKMODE)
    }

    /// As [`Self::open_to_write`], but `None` at once if the lock is not free.
    pub fn try_open_to_write(table: TableRef) -> Option<Self> {
        Self::try_open(table, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE)
    }

    fn try_open(table: TableRef, mode: pg_sys::LOCKMODE) -> Option<Self> {
        let release = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: within a transaction.
        let relation = unsafe {
            if !pg_sys::ConditionalLockRelationOid(table.oid, mode) {
                return None;
            }
            pg_sys::try_table_open(table.oid, release)
        };
        Self::checked(relation, table.shape, release)
    }

    fn checked(relation: pg_sys::Relation, shape: &'static Shape, release: pg_sys::LOCKMODE) -> Option<Self> {
        if relation.is_null() {
            return None;
        }
        // The end of the transaction closes it and releases the lock.
        if let Err(error) = shape.check(relation) {
            error.raise();
        }
        Some(Self {
            relation,
            shape,
            release,
        })
    }

    /// A second handle, under the lock of the first.
    pub fn again(&self) -> Self {
        let release = pg_sys::NoLock as pg_sys::LOCKMODE;
        // SAFETY: locked as long as the first handle is open, or to the end of the transaction.
        let relation = unsafe { pg_sys::table_open(self.oid(), release) };
        Self {
            relation,
            shape: self.shape,
            release,
        }
    }

    /// Its OID.
    pub fn oid(&self) -> Oid {
        // SAFETY: open.
        unsafe { (*self.relation).rd_id }
    }

    /// What it must look like.
    pub fn shape(&self) -> &'static Shape {
        self.shape
    }

    /// Whether it is a heap: it is unless `default_table_access_method` was set to another one.
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

    /// The type of its rows.
    pub fn row_type(&self) -> pg_sys::TupleDesc {
        // SAFETY: open.
        unsafe { (*self.relation).rd_att }
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        // SAFETY: open.
        unsafe { (*self.row_type()).natts as usize }
    }

    /// A number of the file that its pages are in: another one after `VACUUM FULL`, `TRUNCATE` and other rewrites, and in a
    /// database that is a copy of this one, where PostgreSQL's own number is the same.
    pub fn file_number(&self) -> u32 {
        // SAFETY: open.
        let number = unsafe { compat::file_number(self.relation) };
        number ^ u32::from(my_database()).wrapping_mul(0x9e37_79b9)
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        // SAFETY: open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// The definition of a column, counted from 1; `None` if it was dropped.
    fn attribute(&self, column: pg_sys::AttrNumber) -> Option<&pg_sys::FormData_pg_attribute> {
        // SAFETY: open, and borrowed as long as the definition is.
        unsafe { compat::attribute(self.row_type(), column as usize - 1) }
    }

    /// The value of a column in a new row that does not name it: its default.
    ///
    /// # Errors
    /// 23502 if that is NULL and the column is NOT NULL; 0A000 if the column is generated and stored.
    pub fn default_value(
        &self,
        column: pg_sys::AttrNumber,
        state: *mut pg_sys::EState,
    ) -> Result<Option<pg_sys::Datum>, Error> {
        let Some(attribute) = self.attribute(column) else {
            return Ok(None);
        };
        // SAFETY: a column's name is null-terminated.
        let name = || unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()).to_owned() };
        if attribute.attgenerated as u8 == pg_sys::ATTRIBUTE_GENERATED_STORED {
            return Err(Error::ColumnGenerated { column: name() });
        }
        let mut is_null = true;
        let mut value = pg_sys::Datum::from(0_usize);
        // A virtual generated column has no value in the row.
        if attribute.attgenerated == 0 {
            // SAFETY: open; the expression refers to no column, and the executor's state outlives it.
            unsafe {
                let expression = pg_sys::build_column_default(self.relation, column.into());
                if !expression.is_null() {
                    let expression = pg_sys::ExecPrepareExpr(expression.cast(), state);
                    let mut context = (*state).es_per_tuple_exprcontext;
                    if context.is_null() {
                        context = pg_sys::MakePerTupleExprContext(state);
                    }
                    value = pg_sys::ExecEvalExpr(expression, context, &mut is_null);
                }
            }
            if is_null && attribute.attnotnull {
                return Err(Error::ColumnNeedsValue { column: name() });
            }
        }
        Ok((!is_null).then_some(value))
    }

    /// The index of its primary key as of now (REINDEX CONCURRENTLY may have replaced it). Invalid if it has none, or one of
    /// other columns than this.
    pub fn primary_key_on(&self, column: pg_sys::AttrNumber) -> Oid {
        // SAFETY: open; the list is a copy.
        let oid = unsafe {
            pg_sys::list_free(pg_sys::RelationGetIndexList(self.relation));
            (*self.relation).rd_pkindex
        };
        if oid != Oid::INVALID && self.is_unique_on(oid, column) {
            oid
        } else {
            Oid::INVALID
        }
    }

    /// An index that finds every row in which `column` equals a value that is not NULL. Invalid if it has none.
    pub fn index_on(&self, column: pg_sys::AttrNumber) -> Oid {
        self.find_index(|oid| self.finds_all(oid, column))
    }

    /// As [`Self::index_on`], a unique index of this column alone.
    pub fn unique_index_on(&self, column: pg_sys::AttrNumber) -> Oid {
        self.find_index(|oid| self.finds_all(oid, column) && self.is_unique_on(oid, column))
    }

    fn find_index(&self, fits: impl Fn(Oid) -> bool) -> Oid {
        // SAFETY: open; the list is a copy.
        let indexes = unsafe { pgrx::PgList::<u8>::from_pg(pg_sys::RelationGetIndexList(self.relation)) };
        let found = indexes.iter_oid().find(|&oid| fits(oid));
        found.unwrap_or(Oid::INVALID)
    }

    /// Looks at one of its indexes.
    fn with_index<R>(&self, oid: Oid, look: impl FnOnce(&pg_sys::RelationData, &pg_sys::FormData_pg_index) -> R) -> R {
        let mode = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        // SAFETY: an index of an open table stays while that is locked.
        unsafe {
            let index = pg_sys::index_open(oid, mode);
            let seen = look(&*index, &*(*index).rd_index);
            pg_sys::index_close(index, mode);
            seen
        }
    }

    fn is_unique_on(&self, oid: Oid, column: pg_sys::AttrNumber) -> bool {
        self.with_index(oid, |_, form| {
            // SAFETY: an index has a column at least.
            let first = unsafe { *form.indkey.values.as_ptr() };
            form.indisunique && form.indimmediate && form.indnkeyatts == 1 && first == column
        })
    }

    /// Whether an index, which may have been made for another purpose, is complete, and orders by the equality of the column's
    /// type.
    fn finds_all(&self, oid: Oid, column: pg_sys::AttrNumber) -> bool {
        let Some(attribute) = self.attribute(column) else {
            return false;
        };
        // SAFETY: an open index has a column at least, with its family and collation; the predicate is a copy.
        self.with_index(oid, |index, form| unsafe {
            let class = pg_sys::GetDefaultOpClass(attribute.atttypid, pg_sys::BTREE_AM_OID);
            let predicate = pgrx::PgList::<pg_sys::Node>::from_pg(pg_sys::RelationGetIndexPredicate(
                ptr::from_ref(index).cast_mut(),
            ));
            form.indisvalid
                && form.indislive
                && (*index.rd_rel).relam == pg_sys::BTREE_AM_OID
                && *form.indkey.values.as_ptr() == column
                && *index.rd_opfamily == pg_sys::get_opclass_family(class)
                && *index.rd_indcollation == attribute.attcollation
                && predicate.iter_ptr().all(|condition| is_not_null(condition, column))
        })
    }

    /// A slot for the tuples that a scan or a lock finds.
    pub fn new_slot(&self) -> Slot {
        // SAFETY: open; the slot is new.
        unsafe { Slot::from_raw(pg_sys::table_slot_create(self.relation, ptr::null_mut())) }
    }

    /// A slot for a row made of values.
    pub fn new_virtual_slot(&self) -> Slot {
        // SAFETY: open; the row type is valid as long as the table is open, and the slot is new.
        unsafe {
            Slot::from_raw(pg_sys::MakeSingleTupleTableSlot(
                self.row_type(),
                &pg_sys::TTSOpsVirtual,
            ))
        }
    }
}

/// Whether a condition is that a column is not NULL.
///
/// # Safety
/// The condition is a node of PostgreSQL's, of an index on one table.
unsafe fn is_not_null(condition: *mut pg_sys::Node, column: pg_sys::AttrNumber) -> bool {
    // SAFETY: a node's tag says what it is.
    unsafe {
        if (*condition).type_ != pg_sys::NodeTag::T_NullTest {
            return false;
        }
        let test = &*condition.cast::<pg_sys::NullTest>();
        test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL
            && (*test.arg).type_ == pg_sys::NodeTag::T_Var
            && (*test.arg.cast::<pg_sys::Var>()).varattno == column
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
