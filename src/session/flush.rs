//! Writing activity from the registry to rows.

use session_timeout_core::registry::{Seen, Wanted};

use super::{Left, lock_opening, version_of};
use crate::catalog;
use crate::error::Error;
use crate::shared;
use crate::store::finder::Finder;
use crate::store::session_row::{SessionRow, column, slot_of, timestamp_datum};
use crate::store::write::{Purpose, Writer, Written};
use crate::store::{self, Scratch};
use crate::transaction::key_of;

/// Writes activity to rows, those of one transaction.
pub struct Flusher {
    // In the order in which they are to be dropped.
    finder: Finder,
    writer: Writer,
    scratch: Scratch,
}

impl Flusher {
    /// On the session table, locked for writing, as it is now. What is to be written was collected before, so that a row
    /// that is not found is gone.
    pub fn new(writer: Writer) -> Self {
        Self {
            finder: Finder::new(writer.table().again()),
            writer,
            scratch: Scratch::new(),
        }
    }

    /// Writes the activity of one opening of a session to its row, unless that knows as much, waiting for nobody: what is
    /// left to do, and whether the row was written. The row's version stays, so that the registry's entry counts as before.
    pub fn write(&mut self, seen: &Seen) -> Result<(Left, bool), Error> {
        let Self {
            finder,
            writer,
            scratch,
        } = self;
        // Not in the scratch context: what a scan allocates on its way is to last as long as the scan.
        let Some(row) = finder.find(&seen.digest) else {
            return Ok((Left::NoRow, false));
        };
        if version_of(&row) != seen.version {
            return Ok((Left::NoRow, false));
        }
        if row.session().last_activity >= seen.activity {
            return Ok((Left::Nothing, false));
        }
        let touched = timestamp_datum(seen.activity);
        scratch.run(|| {
            let written = writer.try_update(&row, |values| {
                *slot_of(values, column::LAST_ACTIVITY) = Some(touched);
            });
            match written {
                Written::Yes => Ok((Left::Nothing, true)),
                Written::No => write_locked(writer, seen),
            }
        })
    }
}

/// The way for a row that another transaction has changed, or that it has locked in a way that may do no harm.
fn write_locked(writer: &mut Writer, seen: &Seen) -> Result<(Left, bool), Error> {
    let row = match lock_opening(writer, &seen.digest, seen.version, Purpose::Update)? {
        Ok(row) => row,
        Err(left) => return Ok((left, false)),
    };
    let is_news = row.session().last_activity < seen.activity;
    if is_news {
        writer.update(&row, |values| {
            *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(seen.activity));
        })?;
    }
    Ok((Left::Nothing, is_news))
}

/// The flush by hand, in the caller's transaction: how many rows were written. As that may be rolled back, the registry is
/// told nothing: the worker's next flush finds the rows as they should be.
pub fn flush() -> Result<usize, Error> {
    let Some(shared) = shared::get() else { return Ok(0) };
    let objects = catalog::objects()?;
    let any = key_of(&objects, &session_timeout_core::digest::Digest::of(b""));
    let (room, _) = shared.registry.fill();
    let mut written = 0;
    for partition in 0..shared.registry.partitions() {
        pgrx::check_for_interrupts!();
        let mut dirty = Vec::with_capacity(room.min(shared.registry.slots_per_partition()));
        shared
            .registry
            .collect(partition, any.database, any.table, Wanted::Dirty, &mut dirty);
        if dirty.is_empty() {
            continue;
        }
        let mut flusher = Flusher::new(Writer::open(objects.session)?);
        for seen in &dirty {
            let (_, is_news) = flusher.write(seen)?;
            written += usize::from(is_news);
        }
    }
    store::make_visible();
    Ok(written)
}
