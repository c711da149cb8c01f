//! Writing activity from the registry to rows.

use session_timeout_core::registry::{Seen, Wanted};

use super::{Opening, lock_opening};
use crate::catalog;
use crate::error::Error;
use crate::shared;
use crate::store::finder::Finder;
use crate::store::session_row::{SessionRow, column, slot_of, timestamp_datum};
use crate::store::write::{Purpose, Writer, Written};
use crate::store::{self, Scratch};
use crate::transaction::key_of;

/// How many entries are taken out of the registry at once by the flush by hand.
const BATCH: usize = 500;

/// What became of one session's activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// It was written.
    Written,
    /// The row knows as much already.
    Known,
    /// There is no row of this opening.
    Gone,
    /// The row is another's for now.
    Busy,
    /// The row's page has no room: see [`Placement::SamePage`].
    Crowded,
}

/// Where new versions of rows may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Next to the old one, so that no index entry is made (a HOT update). A page without room is left for another
    /// transaction, which can prune away what this one replaced.
    SamePage,
    /// To another page where there is no room.
    AnyPage,
}

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
        let finder = Finder::new(writer.table().again());
        finder.look_what_may_be_pruned();
        Self {
            finder,
            writer,
            scratch: Scratch::new(),
        }
    }

    /// Writes the activity of one opening of a session to its row, unless that knows as much, waiting for nobody. The row's
    /// version stays, so that the registry's entry counts as before.
    pub fn write(&mut self, seen: &Seen, placement: Placement) -> Result<Flushed, Error> {
        let Self {
            finder,
            writer,
            scratch,
        } = self;
        // Not in the scratch context: what a scan allocates on its way is to last as long as the scan.
        let Some((row, has_room)) = finder.find_to_update(&seen.digest) else {
            return Ok(Flushed::Gone);
        };
        if row.version() != seen.version {
            return Ok(Flushed::Gone);
        }
        if row.session().last_activity >= seen.activity {
            return Ok(Flushed::Known);
        }
        if !has_room && placement == Placement::SamePage {
            return Ok(Flushed::Crowded);
        }
        let touched = timestamp_datum(seen.activity);
        scratch.run(|| {
            let written = writer.try_update(&row, |values| {
                *slot_of(values, column::LAST_ACTIVITY) = Some(touched);
            });
            match written {
                Written::Yes => Ok(Flushed::Written),
                Written::No => write_locked(writer, seen),
            }
        })
    }
}

/// The way for a row that another transaction has changed, or that it has locked in a way that may do no harm.
fn write_locked(writer: &mut Writer, seen: &Seen) -> Result<Flushed, Error> {
    let row = match lock_opening(writer, &seen.digest, seen.version, Purpose::Update)? {
        Opening::Held(row) => row,
        Opening::Gone => return Ok(Flushed::Gone),
        Opening::Busy => return Ok(Flushed::Busy),
    };
    if row.session().last_activity >= seen.activity {
        return Ok(Flushed::Known);
    }
    writer.update(&row, |values| {
        *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(seen.activity));
    })?;
    Ok(Flushed::Written)
}

/// The flush by hand, in the caller's transaction: how many rows were written. As that may be rolled back, the registry is
/// told nothing: the worker's next flush finds the rows as they should be.
pub fn flush() -> Result<usize, Error> {
    let Some(shared) = shared::get() else { return Ok(0) };
    let objects = catalog::newest_objects()?;
    let any = key_of(&objects, &session_timeout_core::digest::Digest::of(b""));
    let (mut written, mut round) = (0, shared.registry.round(0));
    let mut dirty = Vec::with_capacity(BATCH);
    while !round.is_over() {
        pgrx::check_for_interrupts!();
        dirty.clear();
        shared
            .registry
            .collect(&mut round, any.database, any.table, Wanted::Dirty, &mut dirty);
        if dirty.is_empty() {
            continue;
        }
        let mut flusher = Flusher::new(Writer::open(objects.session)?);
        for seen in &dirty {
            written += usize::from(flusher.write(seen, Placement::AnyPage)? == Flushed::Written);
        }
    }
    store::make_visible();
    Ok(written)
}
