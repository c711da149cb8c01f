//! The order between logins of a user and the revocation of that user's sessions.
//!
//! A login in flight is a row that nobody else can see. So that `close_user_sessions` misses none, logins of a user and
//! the revocation of that user exclude each other, to the end of the transaction: a revocation waits for the logins that
//! are in flight, and a login waits for a revocation that is, and finds what it left. Logins do not exclude each other.
//!
//! The locks are heavyweight locks on an object that exists only as a tag: (session table, hash of the user name). A
//! transaction that opens many sessions would fill the lock table, so past [`MANY`] logins it takes one lock that stands
//! for all users, against which every revocation declares itself as well.

use std::cell::Cell;

use pgrx::pg_sys::{self, Oid};
use session_timeout_core::digest::Digest;

use crate::process::PerProcess;

/// After how many logins in one transaction a single lock stands for all users.
pub const MANY: u32 = 64;

static LOGINS: PerProcess<Cell<u32>> = PerProcess::new(Cell::new(0));

/// To be called where a transaction ends.
pub fn forget() {
    LOGINS.set(0);
}

/// Before a session of this user is opened: waits for a revocation of the user that is in flight.
pub fn for_login(session_table: Oid, user_name: &[u8]) {
    LOGINS.set(LOGINS.get().saturating_add(1));
    if LOGINS.get() > MANY {
        lock(session_table, EVERYBODY, pg_sys::ShareLock);
    } else {
        lock(session_table, tag_of(user_name), pg_sys::ShareLock);
    }
}

/// Before the sessions of this user are looked for: waits for the user's logins that are in flight.
pub fn for_revocation(session_table: Oid, user_name: &[u8]) {
    // In the order in which a transaction with many logins takes them.
    lock(session_table, tag_of(user_name), pg_sys::ExclusiveLock);
    lock(session_table, EVERYBODY, pg_sys::RowExclusiveLock);
}

/// What a lock is named by, beside the table.
type Tag = (Oid, u16);

const EVERYBODY: Tag = (Oid::INVALID, 0);

/// Users whose tags collide wait for each other without need, and that is all.
fn tag_of(user_name: &[u8]) -> Tag {
    let [a, b, c, d, e, f, ..] = *Digest::of(user_name).as_bytes();
    (
        Oid::from(u32::from_be_bytes([a, b, c, d]) | 1),
        u16::from_be_bytes([e, f]),
    )
}

fn lock(session_table: Oid, (object, part): Tag, mode: u32) {
    // SAFETY: within a transaction, which releases it at its end; may wait, be cancelled or raise a deadlock.
    unsafe { pg_sys::LockDatabaseObject(session_table, object, part, mode as pg_sys::LOCKMODE) };
}
