//! Looks through the rows for sessions that are past a limit, and for clocks in the future.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use session_timeout_core::digest::Digest;
use session_timeout_core::registry::{Row, SetExpired};
use session_timeout_core::verdict::{Expiry, Judgement, Request, has_clock_skew, judge};

use super::super::context::{EndTransaction, Ended, PassContext};
use super::{expire, retention};
use crate::error::Error;
use crate::pg::memory::RowContext;
use crate::pg::modification::Writer;
use crate::pg::{clock, scan};
use crate::rows::session::SessionRow;
use crate::rows::session_cursor::SessionCursor;
use crate::session::clock_skew;

/// Heap pages of one transaction.
pub const PAGES: u32 = 32;

/// Runs the step and then that of retention, if a purge is due or in progress.
pub fn run(pass: &PassContext) -> Result<Ended, Error> {
    let database = pass.database;
    let now = clock::now().micros();
    let is_in_progress = database.purge_from.load(Acquire) != 0;
    if now < database.purge.next(now) && !database.purge_hurries() && !is_in_progress {
        return Ok(Ended::Done);
    }
    // A purge that is in progress continues first.
    if !is_in_progress {
        database.purge_begins();
    }
    let purged = purge(pass);
    if !matches!(purged, Ok(Ended::Done)) && database.purge_from.load(Acquire) == 0 {
        // It has not even got past the first pages: what there was to hurry for is still there.
        database.hurry_purge();
    }
    let ended = match purged? {
        Ended::Done => retention::run(pass)?,
        ended => ended,
    };
    if ended == Ended::Done {
        database.purge_ends();
        database.purge.done(now);
        if database.purge_hurries() {
            return Ok(Ended::More);
        }
    }
    Ok(ended)
}

/// Continues where the last pass ended.
fn purge(pass: &PassContext) -> Result<Ended, Error> {
    loop {
        let from = pass.database.purge_from.load(Acquire);
        let mut found = Found::default();
        let purged = pass.in_transaction(|| purge_pages(pass, from, &mut found))?;
        let Some((purged, is_end)) = purged else {
            return Ok(Ended::Later);
        };
        pass.report_ended(&found.gone);
        pass.database.purged.fetch_add(purged as u64, Relaxed);
        match reset_clocks(pass, &found.in_future)? {
            Ended::Done => {}
            ended => return Ok(ended),
        }
        let next = if is_end { 0 } else { from.saturating_add(PAGES) };
        pass.database.purge_from.store(next, Release);
        if is_end {
            return Ok(Ended::Done);
        }
        if pass.is_over() {
            return Ok(Ended::More);
        }
    }
}

/// What the purge of some pages found, by digest and version.
#[derive(Default)]
struct Found {
    /// Sessions that ended.
    gone: Vec<(Digest, i64)>,
    /// Sessions with clocks in the future.
    in_future: Vec<(Digest, i64)>,
}

/// A row that may be of an expired session.
struct Candidate {
    tid: pgrx::pg_sys::ItemPointerData,
    digest: Digest,
    row: Row,
    /// The limit that the row alone has passed.
    by_row: Option<Expiry>,
}

/// Ends the sessions of some pages that are past a limit. Returns how many ended, and whether these pages were the last;
/// `None` if others have locked a table.
fn purge_pages(pass: &PassContext, from: u32, found: &mut Found) -> Result<Option<(usize, bool)>, Error> {
    let Some(mut transaction) = pass.open_to_end()? else {
        return Ok(None);
    };
    let limits = pass.database.unrecorded.limits();
    let now = clock::now();
    let mut candidates = Vec::new();
    let mut row_context = RowContext::new();
    // Its snapshot is held until the rows are deleted, so that their places stay their own.
    let mut cursor = SessionCursor::new(transaction.writer.table().again());
    let is_end = scan::rows_of_pages(transaction.writer.table(), cursor.snapshot(), from, PAGES, |tuple| {
        row_context.run(|| {
            let row = tuple.row();
            let Some(digest) = tuple.digest() else { return };
            let by_row = match judge(&row.session, &transaction.params, Request::Look, now) {
                Judgement::Expired(expiry) => Some(expiry),
                Judgement::Valid { .. } if limits.expiry(&row.session, now).is_some() => None,
                Judgement::Valid { .. } => {
                    if has_clock_skew(&row.session, now) {
                        found.in_future.push((digest, row.version));
                    }
                    return;
                }
            };
            candidates.push(Candidate {
                tid: tuple.tid(),
                digest,
                row,
                by_row,
            });
        });
    });
    for candidate in candidates {
        row_context.run(|| -> Result<(), Error> {
            let Some((expiry, is_recorded)) = judge_candidate(pass, &transaction, &candidate) else {
                return Ok(());
            };
            let Candidate { tid, digest, row, .. } = &candidate;
            let EndTransaction { writer, batch, .. } = &mut transaction;
            // If this fails, another transaction has changed the row, or has locked it in a mode that may not conflict.
            let has_ended = batch.try_end(writer, &mut cursor, *tid, digest, row, expiry.into())?
                || expire::end(pass, &mut transaction, digest, row.version, expiry)?;
            if has_ended {
                found.gone.push((*digest, row.version));
            } else if !is_recorded {
                pass.database.unrecorded.add(&row.session, expiry, now);
            }
            Ok(())
        })?;
    }
    drop(cursor);
    Ok(Some((pass.send_or_keep(transaction.batch), is_end)))
}

/// The limit by which a candidate is expired, and whether the registry has recorded that; `None` if it is valid, or about to
/// be replaced.
fn judge_candidate(pass: &PassContext, transaction: &EndTransaction, candidate: &Candidate) -> Option<(Expiry, bool)> {
    let Candidate {
        digest, row, by_row, ..
    } = candidate;
    let Some(by_row) = by_row else {
        // No check lets it in, unless an entry of the registry says that it is valid.
        return pass.session.known(digest, row).expired.map(|expiry| (expiry, false));
    };
    let now = clock::now();
    let registry = &pass.shared.registry;
    match registry.set_expired(&pass.key(digest), row, &transaction.params, now, false) {
        SetExpired::Yes(expiry) => Some((expiry, true)),
        SetExpired::No => None,
        // What replaces it will be judged.
        SetExpired::Over => {
            if let Some(expiry) = pass.database.unrecorded.limits().expiry(&row.session, now) {
                pass.database.unrecorded.add(&row.session, expiry, now);
            }
            None
        }
        // No check can have cached it either.
        SetExpired::Full => Some((*by_row, false)),
    }
}

/// Sets clocks in the future to now.
fn reset_clocks(pass: &PassContext, in_future: &[(Digest, i64)]) -> Result<Ended, Error> {
    for (n, batch) in in_future.chunks(clock_skew::MAX_PER_TRANSACTION).enumerate() {
        if n > 0 && pass.is_over() {
            return Ok(Ended::More);
        }
        let is_done = pass.in_transaction(|| {
            let Some(mut writer) = Writer::try_open(pass.session.objects.session) else {
                return Ok(false);
            };
            for (digest, version) in batch {
                clock_skew::reset_clocks(&pass.session, &mut writer, digest, *version)?;
            }
            Ok(true)
        })?;
        if !is_done {
            return Ok(Ended::Later);
        }
    }
    Ok(Ended::Done)
}
