//! Sessions whose clocks are later than now, as those are that were used before the server's clock was set back: until
//! time has caught up with them they would be as if they had just been used. So the worker sets their clocks to now.

use session_timeout_core::digest::Digest;
use session_timeout_core::verdict::is_ahead;

use super::{Known, Opening, lock_opening};
use crate::catalog::Objects;
use crate::error::Error;
use crate::store::session_row::{SessionRow, column, slot_of, timestamp_datum};
use crate::store::write::{Purpose, Writer};
use crate::transaction::{self, Change, key_of};
use crate::{clock, store};

/// The most that one transaction sets back: as many as it can list one by one, so that none loses its mark.
pub const MOST: usize = transaction::MOST;

/// Sets the clocks of one opening of a session to now where they are later, in the row or in memory. A row that is another's
/// is left for next time. That is a change as one by hand is: the row gets a new version, which takes along a mark that comes
/// meanwhile.
pub fn set_back(objects: &Objects, writer: &mut Writer, digest: &Digest, version: i64) -> Result<(), Error> {
    let Opening::Held(row) = lock_opening(writer, digest, version, Purpose::Update)? else {
        return Ok(());
    };
    let Known { session, mark } = Known::of(objects, digest, &row.row());
    let now = clock::now();
    // One that was found expired is about to be ended.
    if mark.is_some() || !is_ahead(&session, now) {
        return Ok(());
    }
    let next = store::next_value(objects.session_version);
    writer.update(&row, |values| {
        *slot_of(values, column::OPENED_AT) = Some(timestamp_datum(session.opened_at.min(now)));
        *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(session.last_activity.min(now)));
        *slot_of(values, column::VERSION) = Some(next.into());
    })?;
    transaction::session_changed(objects, digest, Change::Written);
    let key = key_of(objects, digest);
    transaction::session_descends(&key, next, Some((key, version)));
    Ok(())
}
