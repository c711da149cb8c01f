//! Looks through the rows for sessions that are past a limit, and for clocks in the future.
//!
//! It reads the pages in which something can be due, by what earlier purges have seen of each
//! ([`session_timeout_core::page_bounds`]), and each page once an hour.

use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use session_timeout_core::digest::Digest;
use session_timeout_core::page_bounds::{File, LONGEST};
use session_timeout_core::params::Params;
use session_timeout_core::registry::{Row, SetExpired};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Expiry, Judgement, Limits, Request, has_clock_skew, judge};

use super::super::context::{EndTransaction, Ended, PassContext};
use super::{expire, retention};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::memory::RowContext;
use crate::pg::modification::Writer;
use crate::pg::scan::{Visibility, tuples_of_pages};
use crate::rows::session::SessionRow;
use crate::rows::session_cursor::SessionCursor;
use crate::session::clock_skew;

/// Heap pages that one transaction reads.
pub const PAGES: usize = 32;

/// Runs the step and then that of retention, if a purge is due or in progress.
pub fn run(pass: &PassContext) -> Result<Ended, Error> {
    let database = pass.database;
    let now = clock::now().micros();
    let is_in_progress = database.purge_from.load(Acquire) != 0;
    if now < database.next_purge(now) && !database.purge_hurries() && !is_in_progress {
        return Ok(Ended::Done);
    }
    // A purge that is in progress continues first.
    let hurried = !is_in_progress && database.purge_begins(pass.shared.control, now);
    let purged = purge(pass);
    if hurried && !matches!(purged, Ok(Ended::Done)) && database.purge_from.load(Acquire) == 0 {
        // It has not even got past the first pages: what there was to hurry for is still there.
        database.hurry_purge();
    }
    match purged? {
        Ended::Done => {}
        ended => return Ok(ended),
    }
    let retained = retention::run(pass)?;
    if retained.ended == Ended::Done {
        let hour = now.saturating_add(LONGEST);
        database.purge_ends(retained.next_due.micros().min(hour));
        database.purge.done(now);
        if database.purge_hurries() {
            return Ok(Ended::More);
        }
    }
    Ok(retained.ended)
}

/// Continues where the last pass ended.
fn purge(pass: &PassContext) -> Result<Ended, Error> {
    loop {
        let from = pass.database.purge_from.load(Acquire);
        let mut found = Found::default();
        let purged = pass.in_transaction(|| purge_pages(pass, from, &mut found))?;
        let Some(purged) = purged else {
            return Ok(Ended::Later);
        };
        pass.report_ended(&found.gone);
        pass.database.purged.fetch_add(purged.ended as u64, Relaxed);
        match reset_clocks(pass, &found.in_future)? {
            Ended::Done => {}
            ended => return Ok(ended),
        }
        pass.database.purge_from.store(purged.next.unwrap_or(0), Release);
        if purged.next.is_none() {
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

/// What a transaction has purged.
struct Purged {
    /// How many sessions ended.
    ended: usize,
    /// The page where to continue; `None` after the last.
    next: Option<u32>,
}

/// Ends the sessions that are past a limit in the next pages that must be read. `None` if others have locked a table.
fn purge_pages(pass: &PassContext, from: u32, found: &mut Found) -> Result<Option<Purged>, Error> {
    // Before the parameters and the pages are read.
    let epoch = pass.database.purge_due.epoch();
    let Some(mut transaction) = pass.open_to_end()? else {
        return Ok(None);
    };
    let limits = pass.database.unrecorded.limits();
    let now = clock::now();
    let table = transaction.writer.table().again();
    let walk = Walk {
        pass,
        file: File {
            number: table.file_number(),
            epoch,
        },
        now,
    };
    // Rows that were behind the pages read so far may be on any page of another file.
    let from = if walk.pass.database.purge_due.continues_in(walk.file.number) {
        from
    } else {
        0
    };
    let (pages, next) = walk.choose(from, table.pages());
    let mut candidates = Vec::new();
    let mut row_context = RowContext::new();
    // Its snapshot is held until the rows are deleted, so that their places stay their own.
    let mut cursor = SessionCursor::new(table);
    for run in pages {
        let mut dues: Vec<Due> = run.clone().map(|_| Due::default()).collect();
        run.clone().for_each(|page| walk.begin(page));
        tuples_of_pages(
            transaction.writer.table(),
            cursor.snapshot(),
            run.clone(),
            |tuple, visibility| {
                row_context.run(|| {
                    let due = &mut dues[(tuple.page() - run.start) as usize];
                    let row = tuple.row();
                    due.add(&row, &transaction.params, now);
                    if visibility == Visibility::Pending {
                        due.at_next_purge |= has_clock_skew(&row.session, now);
                        return;
                    }
                    let Some(digest) = tuple.digest() else { return };
                    let by_row = match judge(&row.session, &transaction.params, Request::Look, now) {
                        Judgement::Expired(expiry) => Some(expiry),
                        Judgement::Valid { .. } if limits.expiry(&row.session, now).is_some() => None,
                        Judgement::Valid { .. } => {
                            if has_clock_skew(&row.session, now) {
                                found.in_future.push((digest, row.version));
                                due.at_next_purge = true;
                            }
                            return;
                        }
                    };
                    due.at_next_purge = true;
                    candidates.push(Candidate {
                        tid: tuple.tid(),
                        digest,
                        row,
                        by_row,
                    });
                });
            },
        );
        run.zip(dues).for_each(|(page, due)| walk.end(page, &due));
    }
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
    let ended = pass.send_or_keep(transaction.batch);
    Ok(Some(Purged { ended, next }))
}

/// A walk over the pages of a session table.
struct Walk<'p> {
    pass: &'p PassContext,
    file: File,
    now: Timestamp,
}

impl Walk<'_> {
    /// The next pages that must be read, as runs of pages that follow each other, and the page behind them; `None` if there
    /// is none.
    fn choose(&self, from: u32, pages: u32) -> (Vec<Range<u32>>, Option<u32>) {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut count = 0;
        for page in from..pages {
            if count == PAGES {
                return (runs, Some(page));
            }
            if let Some(until) = self.pass.shared.page_bounds.skip_until(self.file, page, self.now) {
                self.pass.database.purge_due.page_due(until);
                continue;
            }
            count += 1;
            match runs.last_mut() {
                Some(run) if run.end == page => run.end += 1,
                _ => runs.push(page..page + 1),
            }
        }
        (runs, None)
    }

    /// The page is about to be read.
    fn begin(&self, page: u32) {
        self.pass.shared.page_bounds.begin(self.file, page);
    }

    /// The page was read.
    fn end(&self, page: u32, due: &Due) {
        if due.at_next_purge {
            self.pass.database.purge_due.page_due(i64::MIN);
            return;
        }
        let hour = self.now.micros().saturating_add(LONGEST);
        let until = due.earliest.map_or(hour, |at| at.micros().min(hour));
        let until = self.pass.shared.page_bounds.end(self.file, page, until);
        self.pass.database.purge_due.page_due(until);
    }
}

/// When something is due in a page.
#[derive(Default)]
struct Due {
    /// The earliest time at which a session passes a limit.
    earliest: Option<Timestamp>,
    /// Something is to be done now, and it is not known whether it will be.
    at_next_purge: bool,
}

impl Due {
    fn add(&mut self, row: &Row, params: &Params, now: Timestamp) {
        let at = Limits::of(&row.session, params).expires_at(&row.session, now);
        self.earliest = self.earliest.into_iter().chain(at).min();
    }
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
