//! Checks without the registry: the row is judged, and the touch or the expiry written to it, in the caller's transaction.

use session_timeout_core::registry::Row;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Judgement, Request, Status, judge, touch_is_due};

use super::answer::{Answer, Check};
use super::end::end_one;
use super::lock::{VersionLock, find_and_lock, try_lock_version};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::timestamp_datum;
use crate::pg::modification::{LockMode, LockWait, Writer};
use crate::pg::transaction::{is_writable, make_visible};
use crate::rows::session::{SessionRow, column, value_of};
use crate::rows::session_event;

/// Answers a check, and says by which time. Writes nothing if that would have to wait, or if the transaction cannot write.
pub fn evaluate(check: &Check) -> Result<(Answer, Timestamp), Error> {
    let row = check.read(|tuple| tuple.row());
    // Read after the row, which may have waited: others may have used the session meanwhile.
    let mut now = clock::now();
    let Some(Row { mut session, version }) = row else {
        return Ok((Answer::none(Status::Unknown), now));
    };
    let params = &check.params;
    let judgement = judge(&session, params, check.request, now);
    match judgement {
        Judgement::Valid { touch: true, .. } if touch_is_due(&session, params, now) && is_writable() => {
            if let Some(touched) = touch(check, version)? {
                session.last_activity = touched;
                now = touched;
            }
        }
        Judgement::Expired(_) if check.request != Request::Look && is_writable() => expire(check)?,
        Judgement::Valid { .. } | Judgement::Expired(_) => {}
    }
    Ok((Answer::of(judgement.into(), session), now))
}

/// Moves the activity of the version that was judged to now, unless that has to wait for another transaction: a lost touch
/// can only end a session early. Returns the new activity if it was written.
fn touch(check: &Check, version: i64) -> Result<Option<Timestamp>, Error> {
    let Some(mut writer) = Writer::try_open(check.context.objects.session) else {
        return Ok(None);
    };
    let digest = &check.key.digest;
    let VersionLock::Locked(row) = try_lock_version(&writer, digest, version, LockMode::NoKeyUpdate)? else {
        return Ok(None);
    };
    let now = clock::now();
    if !touch_is_due(&row.session(), &check.params, now) {
        return Ok(None);
    }
    writer.update(&row, |values| {
        *value_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(now));
    })?;
    make_visible();
    Ok(Some(now))
}

/// Ends a session that is past its limit, unless that has to wait for another transaction, or the session was touched or
/// changed meanwhile.
fn expire(check: &Check) -> Result<(), Error> {
    let (context, digest) = (&check.context, &check.key.digest);
    let Some(mut writer) = Writer::try_open(context.objects.session) else {
        return Ok(());
    };
    if !session_event::try_lock_to_write(context.objects.session_event) {
        return Ok(());
    }
    let Some(row) = find_and_lock(&writer, digest, LockMode::Update, LockWait::Skip)? else {
        return Ok(());
    };
    let known = context.known(digest, &row.row());
    if let Some(expiry) = known.expiry(&check.params) {
        end_one(context, &mut writer, &row, digest, &known, expiry.into())?;
    }
    Ok(())
}
