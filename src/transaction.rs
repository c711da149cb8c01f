//! What the current transaction changed.
//!
//! A change of sessions or parameters is told to others when the transaction ends, so that a transaction cannot be left
//! to another backend by `PREPARE TRANSACTION` after one: it is refused with 0A000, as after `LISTEN`. A rollback to a
//! savepoint does not lift that, as it does not for `LISTEN`'s kin.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::entry::quietly;
use crate::error::Error;
use crate::store::login_lock;

thread_local! {
    static CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// The current transaction has changed a session or a parameter.
pub fn has_changed() {
    CHANGED.set(true);
}

/// To be called once, at load.
pub fn register_callbacks() {
    // SAFETY: the callback may raise only before the transaction's fate is decided, see there.
    unsafe { pg_sys::RegisterXactCallback(Some(on_event), ptr::null_mut()) };
}

unsafe extern "C-unwind" fn on_event(event: pg_sys::XactEvent::Type, argument: *mut c_void) {
    // SAFETY: called as PostgreSQL called this. The statement may hold session ids, where it is one of several.
    unsafe { quietly(|| guarded_on_event(event, argument)) }
}

#[pg_guard]
unsafe extern "C-unwind" fn guarded_on_event(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_PREPARE if CHANGED.get() => Error::PrepareAfterChange.raise(),
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE => {
            CHANGED.set(false);
            login_lock::forget();
        }
        _ => {}
    }
}
