//! NOTIFY.
//!
//! A commit that sends notifications takes a lock on "database 0" that all such commits share, so they commit one after
//! another (`PreCommit_Notify`). A full queue fails a commit; its use is looked at before anything is sent.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys::{self, Oid};

use super::lock::try_lock_shared_object;

// Not among pgrx's bindings: commands/async.h.
unsafe extern "C-unwind" {
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// Above this share of the notification queue nothing is sent: a full queue would fail the caller's commit.
const MAX_QUEUE_USAGE: f64 = 0.5;

/// Sends a notification, which listeners get when the transaction commits. Returns false, and sends nothing, while half
/// of the queue is in use. The payload must be shorter than 8000 bytes.
pub fn notify(channel: &CStr, payload: &CStr) -> bool {
    if queue_usage() >= MAX_QUEUE_USAGE {
        return false;
    }
    let (channel, payload) = (channel.as_ptr(), payload.as_ptr());
    // SAFETY: both are null-terminated and copied.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| Async_Notify(channel, payload)) };
    true
}

/// Takes the lock of committing notifiers if it is free, so that this commit will not wait for it. Its holder may be
/// waiting for a synchronous standby.
pub fn try_lock_commits() -> bool {
    try_lock_shared_object(pg_sys::DatabaseRelationId, Oid::INVALID)
}

fn queue_usage() -> f64 {
    // SAFETY: a function of PostgreSQL without arguments.
    unsafe { pgrx::direct_function_call::<f64>(pg_sys::pg_notification_queue_usage, &[]) }.unwrap_or(0.0)
}
