//! Writes dirty activity to rows.
//!
//! All dirty activity is written at the flush interval. Activity of sessions with an idle delay of their own, a tenth of
//! which is shorter than that, is written after this tenth, and that of no other session with it.
//!
//! # Room for HOT updates
//!
//! If every row of a page is touched between two flushes, the page's reserve (fillfactor 80) does not hold all new tuples,
//! and what one transaction replaces can be pruned only after its commit. So:
//!
//! 1. The flush prunes a page when it is full, and leaves a row whose page stays full for a further transaction of the pass.
//! 2. If that does not help, somebody's snapshot still needs the old tuples, or somebody pins the page: mostly for moments.
//!    The flush tries again after 10 ms, up to 20 times in a pass.
//! 3. After that, rows go to other pages, with new index entries.
//!
//! Each transaction asks anew what can be pruned: PostgreSQL itself does so only after other transactions have got ids.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use session_timeout_core::registry::{EntryFilter, EntryView};
use session_timeout_core::time::to_micros;

use super::super::context::{Ended, PassContext};
use super::BATCH;
use crate::error::Error;
use crate::pg::background::sleep;
use crate::pg::clock;
use crate::pg::modification::Writer;
use crate::session::flush::{Flushed, Flusher, Placement};

/// How many times in a pass, and after how many microseconds each time, the flush tries again if pages could not be pruned.
/// After that, tuples go to other pages at once.
const TRIES: u32 = 20;
const PAUSE: std::ffi::c_long = 10_000;

/// Runs the step, if it is due. If it does not get through, the next pass continues.
pub fn run(pass: &PassContext, was_dirty: bool) -> Result<Ended, Error> {
    let now = clock::now().micros();
    let next = pass.database.flush.next(now);
    let is_full = pass.database.full.swap(0, AcqRel) != 0;
    let is_due = if was_dirty { now >= next } else { next == i64::MIN };
    if !is_due && !is_full && was_dirty && pass.database.take_early_flush(now) {
        let interval = to_micros(pass.params.flush_interval_in_force());
        let ended = flush(pass, EntryFilter::DirtyWithin(interval.saturating_mul(10)));
        if !matches!(ended, Ok(Ended::Done)) {
            pass.database.put_back_early_flush(now);
        }
        pass.database.set_dirty();
        return ended;
    }
    let ended = if is_due || is_full {
        flush(pass, EntryFilter::Dirty)?
    } else {
        Ended::Done
    };
    if ended != Ended::Done || was_dirty && !is_due && !is_full {
        pass.database.set_dirty();
    } else if is_due || is_full {
        pass.database.flush.done(now);
    }
    Ok(ended)
}

fn flush(pass: &PassContext, filter: EntryFilter) -> Result<Ended, Error> {
    // How many more times it may wait for a page that cannot be pruned.
    let mut tries = TRIES;
    pass.batches(filter, &pass.database.flush_from, BATCH, |batch| {
        let mut rest = batch.to_vec();
        while !rest.is_empty() {
            let placement = if tries == 0 || pass.is_over() {
                Placement::AnyPage
            } else {
                Placement::SamePage
            };
            let Some(left) = flush_in_transaction(pass, &rest, placement)? else {
                return Ok(Ended::Later);
            };
            if left.len() == rest.len() {
                // Somebody's snapshot still needs what was replaced, or somebody pins the page: mostly for moments.
                tries -= 1;
                sleep(PAUSE);
            }
            rest = left;
        }
        Ok(Ended::Done)
    })
}

/// Flushes these entries. Returns those whose page has no room; `None` if others have locked the table.
fn flush_in_transaction(
    pass: &PassContext,
    batch: &[EntryView],
    placement: Placement,
) -> Result<Option<Vec<EntryView>>, Error> {
    let mut flushed: Vec<EntryView> = Vec::with_capacity(batch.len());
    let (mut gone, mut no_room, mut is_any_dirty) = (Vec::new(), Vec::new(), false);
    let written = pass.in_transaction(|| {
        let Some(writer) = Writer::try_open(pass.session.objects.session) else {
            return Ok(None);
        };
        let mut flusher = Flusher::new(&pass.attached, writer);
        let mut written = 0;
        for entry in batch {
            let outcome = flusher.write(entry, placement)?;
            match outcome {
                Flushed::Written | Flushed::Known => flushed.push(*entry),
                Flushed::Gone => gone.push((entry.digest, entry.version)),
                Flushed::Busy => is_any_dirty = true,
                Flushed::PageFull => no_room.push(*entry),
            }
            written += u64::from(outcome == Flushed::Written);
        }
        Ok(Some(written))
    })?;
    let Some(written) = written else { return Ok(None) };
    for entry in &flushed {
        let key = pass.key(&entry.digest);
        is_any_dirty |= pass.shared.registry.flushed(&key, entry.version, entry.activity);
    }
    pass.report_ended(&gone);
    if is_any_dirty {
        pass.database.set_dirty();
    }
    pass.database.flushed.fetch_add(written, Relaxed);
    Ok(Some(no_room))
}
