//! `purge_sessions()`: what the worker does, in the caller's transaction.

use session_timeout_core::verdict::{Judgement, Request, has_clock_skew, judge};

use super::clock_skew;
use super::context::Context;
use super::end::{Batch, RegistryUpdate};
use super::expiry;
use super::lock::find_and_lock;
use crate::error::Error;
use crate::pg::memory::RowContext;
use crate::pg::modification::{LockMode, LockWait, Writer};
use crate::pg::snapshot::LatestSnapshot;
use crate::pg::transaction::make_visible;
use crate::pg::{clock, scan};
use crate::rows::session::SessionRow;
use crate::rows::session_event;

/// Ends every session that is past its limit and not locked by others, and deletes old events. Returns how many sessions
/// ended. If no worker serves the database, also resets clocks that are in the future.
pub fn purge() -> Result<usize, Error> {
    let context = Context::newest()?;
    let params = context.params()?;
    let mut writer = Writer::open(context.objects.session)?;
    let snapshot = LatestSnapshot::take(writer.table());
    let now = clock::now();
    let mut row_context = RowContext::new();
    let has_worker = context.attached.is_some_and(|attached| attached.database().is_some());
    let (mut candidates, mut in_future) = (Vec::new(), Vec::new());
    scan::all_rows(writer.table(), &snapshot, |row| {
        row_context.run(|| {
            let was_found_expired = || {
                row.digest()
                    .is_some_and(|digest| context.known(&digest, &row.row()).expired.is_some())
            };
            let session = row.session();
            let is_expired = matches!(judge(&session, &params, Request::Look, now), Judgement::Expired(_));
            if is_expired || was_found_expired() {
                candidates.extend(row.digest());
            } else if !has_worker && has_clock_skew(&session, now) {
                in_future.extend(row.digest().map(|digest| (digest, row.version())));
            }
        });
    });
    let mut batch = Batch::new(&context, RegistryUpdate::AtCommit)?;
    for digest in candidates {
        pgrx::check_for_interrupts!();
        row_context.run(|| -> Result<(), Error> {
            let Some(row) = find_and_lock(&writer, &digest, LockMode::Update, LockWait::Skip)? else {
                return Ok(());
            };
            // By the parameters of now: a limit may have been raised meanwhile.
            let (known, Some(expiry)) = expiry::find(&context, &digest, &row, &*context.params()?) else {
                return Ok(());
            };
            batch.end(&mut writer, &row, &digest, &known, expiry.into())
        })?;
    }
    // A worker does it in transactions of its own.
    for (digest, version) in in_future {
        pgrx::check_for_interrupts!();
        row_context.run(|| clock_skew::reset_clocks(&context, &mut writer, &digest, version))?;
    }
    let expired = batch.len();
    batch.note();
    let retention = params.event_retention.unwrap_or_default();
    let oldest_kept = clock::now().saturating_add(-retention);
    session_event::delete_oldest(context.objects.session_event, i64::MIN, oldest_kept, usize::MAX)?;
    make_visible();
    Ok(expired)
}
