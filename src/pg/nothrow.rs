//! Functions of PostgreSQL that raise no ERROR, called without pgrx's guard.
//!
//! pgrx sets a jump target before each call of PostgreSQL, in case that raises an ERROR. A check makes a few calls that
//! never do, and the guards would cost more than the rest of the check.

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

/// The wall clock, in microseconds since 2000-01-01.
pub fn current_timestamp() -> i64 {
    // SAFETY: reads the system clock.
    unsafe { c::GetCurrentTimestamp() }
}

/// Whether this server is a standby, or is recovering from a crash.
pub fn recovery_in_progress() -> bool {
    // SAFETY: reads the state of the server; in a process that has just started it also initializes what that process knows
    // of the WAL.
    unsafe { c::RecoveryInProgress() }
}

/// Acquires a lock and waits for it if needed. Returns whether it was free at once.
///
/// # Safety
/// `lock` is in shared memory, and this process does not hold it. [`release`] releases it.
pub unsafe fn acquire(lock: *mut LWLock, mode: LWLockMode::Type) -> bool {
    // SAFETY: by the caller's promise. It would raise if this process held 200 LWLocks: this library holds at most one, and
    // PostgreSQL holds few when it calls a function.
    unsafe { c::LWLockAcquire(lock, mode) }
}

/// Releases a lock.
///
/// # Safety
/// This process holds it.
pub unsafe fn release(lock: *mut LWLock) {
    // SAFETY: by the caller's promise; it would raise only if the lock were not held.
    unsafe { c::LWLockRelease(lock) };
}
