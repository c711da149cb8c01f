//! Requests the segment and the locks, and formats them in the postmaster.
//!
//! The start-up hook runs again after a crash of a process, with fresh memory: nothing here is cached.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::segment::{self, NAME, Plan};
use super::snapshot;

/// Installs the hooks. Must be called while the library is preloaded.
pub fn register() {
    // SAFETY: hooks are chained; all of it happens in the postmaster, which has one thread.
    unsafe {
        PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
        pg_sys::shmem_request_hook = Some(on_request);
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

#[pg_guard]
unsafe extern "C-unwind" fn on_request() {
    // SAFETY: as PostgreSQL calls this.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        let plan = Plan::in_force();
        pg_sys::RequestAddinShmemSpace(plan.bytes);
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), plan.layout.partitions as i32 + 1);
    }
}

/// How many times this postmaster has created its shared memory: once, and again after each crash of one of its processes.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// Whether the shared memory was created again after a crash, under the same postmaster.
pub fn has_crashed() -> bool {
    STARTS.load(Ordering::Relaxed) > 1
}

#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: in the postmaster, before there are other processes, so AddinShmemInitLock is not needed.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        STARTS.fetch_add(1, Ordering::Relaxed);
        let plan = Plan::in_force();
        let mut found = false;
        let base = pg_sys::ShmemInitStruct(NAME.as_ptr(), plan.bytes, &mut found).cast::<u8>();
        let tranche = pg_sys::GetNamedLWLockTranche(NAME.as_ptr());
        if !found {
            ptr::write_bytes(base, 0, plan.bytes);
        }
        let shared = plan.lay_out(base, tranche);
        if !found {
            shared.registry.format();
        }
        segment::set(shared);
        if let Some(shared) = segment::get() {
            snapshot::start(shared);
        }
    }
}
