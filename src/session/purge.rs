//! The purge by hand: what the worker does, in the caller's transaction.

use session_timeout_core::verdict::{Judgement, Request, is_ahead, judge};

use super::{Known, ahead, find_and_lock};
use crate::ending::{self, Batch};
use crate::error::Error;
use crate::shared::{self, database};
use crate::store::session_row::SessionRow;
use crate::store::table::Latest;
use crate::store::write::{Patience, Purpose, Writer};
use crate::store::{self, Scratch, scan};
use crate::transaction::{self, Change};
use crate::{catalog, clock, settings};

/// Expires every session that is past its limit and not locked by others, and deletes old events: how many sessions. Where
/// no worker comes, it also sets clocks to now that are later.
pub fn purge() -> Result<usize, Error> {
    let objects = catalog::newest_objects()?;
    let params = settings::current()?;
    let mut writer = Writer::open(objects.session)?;
    let snapshot = Latest::take(writer.table());
    let now = clock::now();
    let mut scratch = Scratch::new();
    let has_worker = shared::get().and_then(database::mine).is_some();
    let (mut candidates, mut ahead) = (Vec::new(), Vec::new());
    scan::all_rows(writer.table(), &snapshot, |row| {
        scratch.run(|| {
            let is_marked = || {
                row.digest()
                    .is_some_and(|digest| Known::of(&objects, &digest, &row.row()).mark.is_some())
            };
            let session = row.session();
            let is_expired = matches!(judge(&session, &params, Request::Look, now), Judgement::Expired(_));
            if is_expired || is_marked() {
                candidates.extend(row.digest());
            } else if !has_worker && is_ahead(&session, now) {
                ahead.extend(row.digest().map(|digest| (digest, row.version())));
            }
        });
    });
    let mut batch = Batch::new(&objects)?;
    for digest in candidates {
        pgrx::check_for_interrupts!();
        scratch.run(|| -> Result<(), Error> {
            let Some(row) = find_and_lock(&writer, &digest, Purpose::Remove, Patience::Skip)? else {
                return Ok(());
            };
            // As they are now: a limit that has been raised meanwhile counts.
            let params = settings::current()?;
            let (known, Some(expiry)) = Known::find_expiry(&objects, &digest, &row, &params) else {
                return Ok(());
            };
            writer.delete(&row)?;
            batch.add(expiry.into(), digest, row.user_name(), known.session.last_activity)?;
            transaction::session_changed(&objects, &digest, Change::Expired);
            Ok(())
        })?;
    }
    // A worker does it in transactions of its own.
    for (digest, version) in ahead {
        pgrx::check_for_interrupts!();
        scratch.run(|| ahead::set_back(&objects, &mut writer, &digest, version))?;
    }
    let expired = batch.len();
    batch.announce();
    let retention = params.event_retention.unwrap_or_default();
    ending::delete_oldest_events(&objects, clock::now().saturating_add(-retention), usize::MAX)?;
    store::make_visible();
    Ok(expired)
}
