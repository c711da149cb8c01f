//! Heavyweight locks.

use pgrx::pg_sys::{self, Oid};

/// Locks an object of a shared catalog exclusively to the end of the transaction, unless that would have to wait. Returns
/// whether it did. The tag is the one of `LockSharedObject`.
pub fn try_lock_shared_object(class: Oid, object: Oid) -> bool {
    let tag = pg_sys::LOCKTAG {
        locktag_field1: 0,
        locktag_field2: class.into(),
        locktag_field3: object.into(),
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: within a transaction, which releases the lock at its end; does not wait.
    unsafe { pg_sys::LockAcquire(&tag, mode, false, true) != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL }
}

/// Locks a number of an object of the current database to the end of the transaction. The object need not exist. May wait,
/// be cancelled, or raise a deadlock (40P01).
pub fn lock_object(class: Oid, object: Oid, part: u16, mode: u32) {
    // SAFETY: within a transaction, which releases the lock at its end.
    unsafe { pg_sys::LockDatabaseObject(class, object, part, mode as pg_sys::LOCKMODE) };
}
