//! The object access hook: notices DROP EXTENSION and DROP DATABASE.

use std::ffi::c_void;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use super::notes;
use crate::catalog;
use crate::pg::background::{is_alive, terminate};
use crate::shared::databases;
use crate::shared::{self, Shared};

static mut PREVIOUS: pg_sys::object_access_hook_type = None;

/// Must be called once, when the library is loaded.
pub fn register() {
    // SAFETY: hooks are chained; the process has one thread.
    unsafe {
        PREVIOUS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(on_access);
    }
}

/// If the session table is dropped: at the commit, the registry's entries of it are invalidated, and a worker looks whether
/// the extension is still there. If a database is dropped: before the commit, shared memory forgets it.
#[pg_guard]
unsafe extern "C-unwind" fn on_access(
    access: pg_sys::ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    column: i32,
    argument: *mut c_void,
) {
    // SAFETY: as PostgreSQL calls this.
    unsafe {
        if let Some(previous) = PREVIOUS {
            pg_sys::ffi::pg_guard_ffi_boundary(|| previous(access, class, object, column, argument));
        }
    }
    if access != pg_sys::ObjectAccessType::OAT_DROP {
        return;
    }
    if class == pg_sys::DatabaseRelationId {
        notes::database_dropped(object);
        if let Some(shared) = shared::get() {
            end_worker_of(shared, object);
        }
    } else if class == pg_sys::RelationRelationId && column == 0 && catalog::session_table() == Some(object) {
        notes::all_sessions_changed();
        notes::installation_changed();
    }
}

/// Ends the worker of a database that is about to be dropped, and waits until it has ended, 5 s at most. The caller may drop
/// the database, and holds the lock that keeps new workers out. (WITH (FORCE) could end the worker only if the caller were
/// a superuser, and would fail otherwise.)
fn end_worker_of(shared: &'static Shared, database: Oid) {
    const TRIES: u32 = 500;
    let Some(place) = databases::find(shared, database) else {
        return;
    };
    let worker = place.database.worker.load(std::sync::atomic::Ordering::Acquire);
    if worker == 0 || !is_alive(worker) {
        return;
    }
    terminate(worker);
    for _ in 0..TRIES {
        if !is_alive(worker) {
            return;
        }
        pgrx::check_for_interrupts!();
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(10_000) };
    }
}
