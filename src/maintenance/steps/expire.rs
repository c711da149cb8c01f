//! Ends the sessions that checks have found expired.

use std::sync::atomic::Ordering::Relaxed;

use session_timeout_core::digest::Digest;
use session_timeout_core::registry::EntryFilter;
use session_timeout_core::verdict::Expiry;

use super::super::context::{EndTransaction, Ended, PassContext};
use super::BATCH;
use crate::error::Error;
use crate::pg::memory::RowContext;
use crate::pg::modification::LockMode;
use crate::rows::session::SessionRow;
use crate::session::lock::{VersionLock, try_lock_version};

/// Runs the step.
pub fn run(pass: &PassContext) -> Result<Ended, Error> {
    pass.batches(EntryFilter::Expired, &pass.database.expire_from, BATCH, |batch| {
        let mut gone: Vec<(Digest, i64)> = Vec::with_capacity(batch.len());
        let expired = pass.in_transaction(|| {
            let Some(mut transaction) = pass.open_to_end()? else {
                return Ok(0);
            };
            let mut row_context = RowContext::new();
            for entry in batch {
                let Some(expiry) = entry.expiry else { continue };
                if row_context.run(|| end(pass, &mut transaction, &entry.digest, entry.version, expiry))? {
                    gone.push((entry.digest, entry.version));
                }
            }
            Ok(pass.send_or_keep(transaction.batch))
        })?;
        pass.report_ended(&gone);
        pass.database.expired.fetch_add(expired as u64, Relaxed);
        Ok(if gone.len() < batch.len() {
            Ended::Later
        } else {
            Ended::Done
        })
    })
}

/// Ends one version of a session, waiting for nobody. Returns whether it is gone: not if another transaction has locked its
/// row.
pub fn end(
    pass: &PassContext,
    transaction: &mut EndTransaction,
    digest: &Digest,
    version: i64,
    expiry: Expiry,
) -> Result<bool, Error> {
    let EndTransaction { writer, batch, .. } = transaction;
    let row = match try_lock_version(writer, digest, version, LockMode::Update)? {
        VersionLock::Locked(row) => row,
        VersionLock::Gone => return Ok(true),
        VersionLock::Busy => return Ok(false),
    };
    let known = pass.session.known(digest, &row.row());
    batch.end(writer, &row, digest, &known, expiry.into())?;
    Ok(true)
}
