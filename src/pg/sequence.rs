//! Sequences.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::{self, Oid};

use crate::error::Error;

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

/// The next value of a sequence. The caller needs no privilege on it. Raises 55000 if somebody has altered the sequence so
/// that it could repeat a number: a repeated version would make an old login and a new one the same.
pub fn next_value(sequence: Oid) -> i64 {
    if !counts_up(sequence) {
        raise_altered(sequence);
    }
    // SAFETY: raises an ERROR at worst.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}

/// Whether a sequence counts up and does not cycle. `nextval` refuses what is no sequence.
fn counts_up(sequence: Oid) -> bool {
    // SAFETY: within a transaction; a tuple of pg_sequence has this form, and is valid until it is released.
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

/// Raises 55000: a sequence is not as the install script created it.
pub fn raise_altered(sequence: Oid) -> ! {
    // SAFETY: within a transaction; returns a copy, or NULL if the sequence does not exist.
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
