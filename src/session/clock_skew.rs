//! Sessions whose clocks are in the future, because they were used before the server's clock was set back. Until time caught
//! up they would count as just used. So the worker sets their clocks to now.

use session_timeout_core::digest::Digest;
use session_timeout_core::verdict::has_clock_skew;

use super::context::Context;
use super::lock::{VersionLock, try_lock_version};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::timestamp_datum;
use crate::pg::modification::{LockMode, Writer};
use crate::pg::sequence::next_value;
use crate::rows::session::{SessionRow, column, value_of};
use crate::xact::notes::{self, Change};

/// The most sessions of one transaction: as many as it can list one by one, so that an expiry that comes meanwhile is kept.
pub const MAX_PER_TRANSACTION: usize = notes::MAX_LISTED;

/// Sets the clocks of one version of a session to now if they are later, in the row or in memory. Skips a row that another
/// transaction has locked. This is a change like one by hand: the row gets a new version, and an expiry that comes meanwhile
/// is carried over.
pub fn reset_clocks(context: &Context, writer: &mut Writer, digest: &Digest, version: i64) -> Result<(), Error> {
    let VersionLock::Locked(row) = try_lock_version(writer, digest, version, LockMode::NoKeyUpdate)? else {
        return Ok(());
    };
    let known = context.known(digest, &row.row());
    let (session, now) = (known.session, clock::now());
    // One that was found expired will be ended anyway.
    if known.expired.is_some() || !has_clock_skew(&session, now) {
        return Ok(());
    }
    let next = next_value(context.objects.session_version);
    writer.update(&row, |values| {
        *value_of(values, column::OPENED_AT) = Some(timestamp_datum(session.opened_at.min(now)));
        *value_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(session.last_activity.min(now)));
        *value_of(values, column::VERSION) = Some(next.into());
    })?;
    context.page_written(writer);
    let key = context.objects.key(digest);
    notes::session_changed(&key, Change::Written);
    notes::session_derives(&key, next, Some((key, version)));
    Ok(())
}
