//! Functions of PostgreSQL's that raise nothing, called as they are.
//!
//! pgrx sets a place to jump back to around each call of PostgreSQL, in case that raises an ERROR. A check makes some
//! calls that never do, and the guards would cost more than all the rest of it.

use pgrx::pg_sys::{LWLock, LWLockMode, TimestampTz};

/// As PostgreSQL declares them.
mod c {
    use super::{LWLock, LWLockMode, TimestampTz};

    unsafe extern "C-unwind" {
        pub fn GetCurrentTimestamp() -> TimestampTz;
        pub fn LWLockAcquire(lock: *mut LWLock, mode: LWLockMode::Type) -> bool;
        pub fn LWLockRelease(lock: *mut LWLock);
        pub fn RecoveryInProgress() -> bool;
    }
}

/// The wall clock, microseconds since 2000.
pub fn current_timestamp() -> i64 {
    // SAFETY: reads the system clock.
    unsafe { c::GetCurrentTimestamp() }
}

/// Whether this server is a standby, or recovers from a crash.
pub fn recovery_in_progress() -> bool {
    // SAFETY: reads the server's state, and in a process that has just started what it is to know of the WAL.
    unsafe { c::RecoveryInProgress() }
}

/// Takes a lock, waiting for it: whether it was free at once.
///
/// # Safety
/// `lock` is one of shared memory's, and this process does not hold it. It is given back by [`release`].
pub unsafe fn acquire(lock: *mut LWLock, mode: LWLockMode::Type) -> bool {
    // SAFETY: by the caller's promise. It would raise where this process held two hundred of them: at most one is held
    // here, and PostgreSQL holds few where it calls a function.
    unsafe { c::LWLockAcquire(lock, mode) }
}

/// Gives a lock back.
///
/// # Safety
/// This process holds it.
pub unsafe fn release(lock: *mut LWLock) {
    // SAFETY: by the caller's promise: it would raise only where the lock were not held.
    unsafe { c::LWLockRelease(lock) };
}
