//! Finding the newest tuple of a session, and locking it.

use session_timeout_core::digest::Digest;

use crate::error::Error;
use crate::pg::modification::{LockMode, LockOutcome, LockWait, LockedTuple, Writer};
use crate::pg::snapshot::LatestSnapshot;
use crate::rows::session::{self, SessionRow};

/// Finds the newest tuple of a session and locks it. `None` if there is none, or if another transaction has locked it and
/// `wait` is [`LockWait::Skip`].
pub fn find_and_lock(
    writer: &Writer,
    digest: &Digest,
    mode: LockMode,
    wait: LockWait,
) -> Result<Option<LockedTuple>, Error> {
    loop {
        let snapshot = LatestSnapshot::take(writer.table());
        let Some(tid) = session::place(writer.table(), &snapshot, digest) else {
            return Ok(None);
        };
        match writer.lock(tid, &snapshot, mode, wait)? {
            LockOutcome::Locked(row) => return Ok(Some(row)),
            LockOutcome::Busy => return Ok(None),
            LockOutcome::Changed => {
                pgrx::check_for_interrupts!();
            }
        }
    }
}

/// The result of an attempt to lock the row of one version of a session without waiting.
pub enum VersionLock {
    /// It is locked.
    Locked(LockedTuple),
    /// There is no row of this version.
    Gone,
    /// Another transaction has locked or changed it.
    Busy,
}

/// Locks the row of one version of a session, waiting for nobody.
pub fn try_lock_version(writer: &Writer, digest: &Digest, version: i64, mode: LockMode) -> Result<VersionLock, Error> {
    let snapshot = LatestSnapshot::take(writer.table());
    let Some(tid) = session::place(writer.table(), &snapshot, digest) else {
        return Ok(VersionLock::Gone);
    };
    Ok(match writer.lock(tid, &snapshot, mode, LockWait::Skip)? {
        LockOutcome::Locked(row) if row.version() == version => VersionLock::Locked(row),
        LockOutcome::Locked(_) => VersionLock::Gone,
        LockOutcome::Busy | LockOutcome::Changed => VersionLock::Busy,
    })
}
