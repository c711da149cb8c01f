//! Locks on user names: logins against revocations.
//!
//! A login that has not committed is a row that nobody else sees. `close_user_sessions` must not miss it. So a login of a
//! user and a revocation of that user exclude each other to the end of the transaction: a revocation waits for the logins
//! that are in progress, and a login waits for a revocation in progress, and finds what it left. Logins do not exclude
//! each other.
//!
//! These are heavyweight locks on an object that exists only as a tag: (session table, hash of the user name). A transaction
//! that opens many sessions would fill the lock table; after [`MANY`] logins it takes a single lock that stands for all
//! users, which every revocation takes as well.

use std::cell::Cell;

use pgrx::pg_sys::{self, Oid};
use session_timeout_core::digest::Digest;

use crate::pg::backend_local::BackendLocal;
use crate::pg::lock::lock_object;

/// After this many logins in one transaction, a single lock stands for all users.
pub const MANY: u32 = 64;

static LOGINS: BackendLocal<Cell<u32>> = BackendLocal::new(Cell::new(0));

/// Must be called at the end of each transaction.
pub fn reset() {
    LOGINS.set(0);
}

/// Before a session of this user is opened: waits for a revocation of the user that is in progress.
pub fn for_login(session_table: Oid, user_name: &[u8]) {
    LOGINS.set(LOGINS.get().saturating_add(1));
    if LOGINS.get() > MANY {
        lock(session_table, EVERYBODY, pg_sys::ShareLock);
    } else {
        lock(session_table, tag_of(user_name), pg_sys::ShareLock);
    }
}

/// Before the sessions of this user are looked up: waits for the user's logins that are in progress.
pub fn for_revocation(session_table: Oid, user_name: &[u8]) {
    // In the order in which a transaction with many logins takes them.
    lock(session_table, tag_of(user_name), pg_sys::ExclusiveLock);
    lock(session_table, EVERYBODY, pg_sys::RowExclusiveLock);
}

/// What names a lock, beside the table.
type Tag = (Oid, u16);

const EVERYBODY: Tag = (Oid::INVALID, 0);

/// If the tags of two users collide, they wait for each other without need.
fn tag_of(user_name: &[u8]) -> Tag {
    let [a, b, c, d, e, f, ..] = *Digest::of(user_name).as_bytes();
    (
        Oid::from(u32::from_be_bytes([a, b, c, d]) | 1),
        u16::from_be_bytes([e, f]),
    )
}

fn lock(session_table: Oid, (object, part): Tag, mode: u32) {
    lock_object(session_table, object, part, mode);
}
