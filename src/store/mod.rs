//! Rows of the extension's tables, without SPI.
//!
//! Callers need EXECUTE on a function and no right on a table, and must see the newest commit, not their snapshot. So
//! rows are read and written through the table access method:
//!
//! - **Reading** takes a snapshot of this moment (as scans of system catalogs do, [`table::Latest`]) and looks at every
//!   version that the index leads to, testing each against that snapshot ([`scan`]). The scan itself runs with
//!   `SnapshotAny`, for which SERIALIZABLE takes no predicate locks.
//! - **Writing** finds a row by its key and locks it; where another transaction changed it meanwhile, the key is looked
//!   for again with a new snapshot, in every isolation level ([`write`]). Nothing here raises 40001 for what another did
//!   to a row.
//!
//! Triggers on the tables do not fire for what is written here: what they do for hand-written DML is done by the
//! functions themselves.

pub mod config_row;
pub mod event_row;
pub mod finder;
pub mod login_lock;
pub mod scan;
pub mod session_row;
pub mod shape;
pub mod table;
pub mod write;

use std::ffi::{CStr, CString};

use pgrx::pg_sys::{self, Oid};

use crate::error::Error;
use crate::unguarded;

/// Not among pgrx's bindings: catalog/pg_sequence.h, the same in all versions.
#[repr(C)]
struct FormPgSequence {
    relation: Oid,
    type_oid: Oid,
    start: i64,
    increment: i64,
    max: i64,
    min: i64,
    cache: i64,
    cycle: bool,
}

// Not among pgrx's bindings: commands/sequence.h.
unsafe extern "C-unwind" {
    fn nextval_internal(relid: Oid, check_permissions: bool) -> i64;
}

/// The next value of one of the extension's sequences. Needs no right on it. Raises 55000 where somebody has altered it so
/// that numbers could come again: a version that comes again would make an old opening of a session and a new one the same.
pub fn next_value(sequence: Oid) -> i64 {
    if !counts_up(sequence) {
        sequence_altered(sequence);
    }
    // SAFETY: raises an ERROR at worst.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}

/// Whether a sequence counts up, and ends at its end. What is no sequence is left to `nextval` to refuse.
fn counts_up(sequence: Oid) -> bool {
    // SAFETY: within a transaction; a tuple of pg_sequence has this form, and is held until it is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::SEQRELID as _, sequence.into());
        if tuple.is_null() {
            return true;
        }
        let form = &*pg_sys::heap_tuple_get_struct::<FormPgSequence>(tuple);
        let counts_up = form.increment > 0 && !form.cycle;
        pg_sys::ReleaseSysCache(tuple);
        counts_up
    }
}

/// Raises 55000: a sequence is not what the install script made.
fn sequence_altered(sequence: Oid) -> ! {
    // SAFETY: within a transaction; answers a copy, or NULL where it is gone.
    let name = unsafe {
        let name = pg_sys::get_rel_name(sequence);
        if name.is_null() {
            CString::default()
        } else {
            CStr::from_ptr(name).into()
        }
    };
    Error::SequenceAltered { sequence: name }.raise()
}

/// Refuses, with 25006, a function that writes, where nothing can be written: in a read-only transaction, on a standby,
/// in a parallel operation.
pub fn require_writable(function: &'static CStr) {
    // SAFETY: each raises an ERROR or does nothing.
    unsafe {
        pg_sys::PreventCommandIfReadOnly(function.as_ptr());
        pg_sys::PreventCommandDuringRecovery(function.as_ptr());
        pg_sys::PreventCommandIfParallelMode(function.as_ptr());
    }
}

/// Whether the current transaction can write at all.
pub fn is_writable() -> bool {
    // SAFETY: plain reads of the backend's state.
    unsafe { !pg_sys::XactReadOnly && !unguarded::recovery_in_progress() && !pg_sys::IsInParallelMode() }
}

/// A memory context for the work on one row of many, emptied after each.
pub struct Scratch(pgrx::PgMemoryContexts);

impl Scratch {
    /// A new one, below the current memory context.
    pub fn new() -> Self {
        Self(pgrx::PgMemoryContexts::new("work on a row"))
    }

    /// Does the work on one row: what it allocates is gone afterwards.
    pub fn run<R>(&mut self, work: impl FnOnce() -> R) -> R {
        // SAFETY: nothing that the work allocated there is used after it: R holds no pointers, by the callers' choice.
        unsafe {
            let result = self.0.switch_to(|_| work());
            self.0.reset();
            result
        }
    }
}

/// Makes what was written visible to the rest of the transaction, the current command included.
pub fn make_visible() {
    // SAFETY: callers write, so they are not in parallel mode, where this would raise.
    unsafe { pg_sys::CommandCounterIncrement() }
}
