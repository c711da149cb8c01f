//! Writing activity from the registry to rows.

use session_timeout_core::registry::{Seen, Wanted};

use super::{Left, lock_opening};
use crate::catalog;
use crate::error::Error;
use crate::shared;
use crate::store::session_row::{SessionRow, column, slot_of, timestamp_datum};
use crate::store::write::{Purpose, Writer};
use crate::store::{self, Scratch};
use crate::transaction::key_of;

/// Writes the activity of one opening of a session to its row, unless that knows as much, waiting for nobody. The row's
/// version stays, so that the registry's entry counts as before.
pub fn write_activity(writer: &mut Writer, seen: &Seen) -> Result<(Left, bool), Error> {
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
    let mut writer = Writer::open(objects.session)?;
    let mut scratch = Scratch::new();
    let (room, _) = shared.registry.fill();
    let mut written = 0;
    for partition in 0..shared.registry.partitions() {
        pgrx::check_for_interrupts!();
        let mut dirty = Vec::with_capacity(room.min(shared.registry.slots_per_partition()));
        let any = key_of(&objects, &session_timeout_core::digest::Digest::of(b""));
        shared
            .registry
            .collect(partition, any.database, any.table, Wanted::Dirty, &mut dirty);
        for seen in &dirty {
            let (_, is_news) = scratch.run(|| write_activity(&mut writer, seen))?;
            written += usize::from(is_news);
        }
    }
    store::make_visible();
    Ok(written)
}
