//! The current transaction.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::nothrow;
use crate::error::Error;

/// Raises 25006 if nothing can be written: in a read-only transaction, on a standby, in a parallel operation.
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
    unsafe { !pg_sys::XactReadOnly && !nothrow::recovery_in_progress() && !pg_sys::IsInParallelMode() }
}

/// Makes what the current command wrote visible to the rest of the transaction, the command itself included.
pub fn make_visible() {
    // SAFETY: callers write, so they are not in parallel mode, in which this would raise.
    unsafe { pg_sys::CommandCounterIncrement() }
}

/// The current subtransaction. Later subtransactions have greater ids.
pub fn subtransaction() -> u32 {
    // SAFETY: reads the state of the current transaction.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// Whether this is a parallel worker whose leader has a transaction id, so may have written rows. The worker sees these
/// rows without knowing that they are not committed.
pub fn is_worker_of_a_writer() -> bool {
    // SAFETY: plain reads of the backend's state.
    unsafe { pg_sys::ParallelWorkerNumber >= 0 && pg_sys::GetTopTransactionIdIfAny().into_inner() != 0 }
}

/// The database that this process is connected to.
pub fn my_database() -> Oid {
    // SAFETY: a plain read; set once when the process connects.
    unsafe { pg_sys::MyDatabaseId }
}

/// Processes the invalidations that other backends have sent by their commits.
pub fn accept_invalidations() {
    // SAFETY: within a transaction.
    unsafe { pg_sys::AcceptInvalidationMessages() }
}

/// Whether the rows that this process writes come from replication.
pub fn is_replaying() -> bool {
    // SAFETY: a plain read.
    unsafe { pg_sys::SessionReplicationRole == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32 }
}

/// Runs `work` under the transaction's snapshot, for writing rows when no statement's snapshot is active. An error aborts
/// the transaction, which pops the snapshot.
pub fn with_snapshot<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // SAFETY: within a transaction; pushed and popped in pairs.
    unsafe {
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        let result = work()?;
        pg_sys::PopActiveSnapshot();
        Ok(result)
    }
}

/// For a background process: runs `work` in a transaction of its own, as `user` and security-restricted if a user is given.
/// An error rolls it back. If an ERROR is raised, the caller must catch it and call [`abort`].
pub fn run<R>(user: Option<Oid>, activity: &CStr, work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // SAFETY: not in a transaction. After an ERROR, PostgreSQL restores user and security context at the abort.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
        if let Some(user) = user {
            let context = pg_sys::SECURITY_RESTRICTED_OPERATION | pg_sys::SECURITY_LOCAL_USERID_CHANGE;
            pg_sys::SetUserIdAndSecContext(user, context as i32);
        }
        let result = work();
        pg_sys::PopActiveSnapshot();
        match result {
            Ok(value) => {
                pg_sys::CommitTransactionCommand();
                pg_sys::SetUserIdAndSecContext(pg_sys::GetSessionUserId(), 0);
                pgrx::check_for_interrupts!();
                Ok(value)
            }
            Err(error) => {
                abort();
                Err(error)
            }
        }
    }
}

/// Rolls back the current transaction of a background process.
pub fn abort() {
    // SAFETY: allowed at any time.
    unsafe { pg_sys::AbortCurrentTransaction() }
}
