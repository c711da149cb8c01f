//! Opening, closing, revoking and rotating sessions, in the caller's transaction.

use std::cell::Cell;

use pgrx::pg_sys::Datum;
use session_timeout_core::digest::Digest;
use session_timeout_core::event::Kind;

use super::context::Context;
use super::end::{self, Batch, RegistryUpdate, end_one, kind_of};
use super::expiry;
use super::lock::find_and_lock;
use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::timestamp_datum;
use crate::pg::memory::RowContext;
use crate::pg::modification::{LockMode, LockWait, LockedTuple, Values, Writer};
use crate::pg::sequence::next_value;
use crate::pg::snapshot::LatestSnapshot;
use crate::pg::transaction::make_visible;
use crate::rows::session::{self, SessionRow, column, digest_datum, value_of};
use crate::rows::user_lock;
use crate::xact::notes::{self, Change};

/// Opens a session, or restarts both clocks of one that is open.
pub fn open(
    digest: &Digest,
    user_name: Option<(Datum, &[u8])>,
    idle_delay: Option<Datum>,
    absolute_delay: Option<Datum>,
) -> Result<(), Error> {
    let context = Context::newest()?;
    let table = context.objects.session;
    if let Some((_, name)) = user_name {
        user_lock::for_login(table.oid, name);
    }
    let mut writer = Writer::open(table)?;
    let version = Cell::new(0);
    let mut replaced = None;
    loop {
        pgrx::check_for_interrupts!();
        // So that a row that the current command has written is found, too.
        make_visible();
        // Called after the last wait, so that the clocks begin now, and with the row locked if there is one, so that of one
        // session the later writer has the greater version.
        let fill = |values: &mut Values| {
            version.set(next_value(context.objects.session_version));
            *value_of(values, column::VERSION) = Some(version.get().into());
            let now = Some(timestamp_datum(clock::now()));
            *value_of(values, column::USER_NAME) = user_name.map(|(datum, _)| datum);
            *value_of(values, column::OPENED_AT) = now;
            *value_of(values, column::LAST_ACTIVITY) = now;
            *value_of(values, column::IDLE_DELAY) = idle_delay;
            *value_of(values, column::ABSOLUTE_DELAY) = absolute_delay;
        };
        if let Some(row) = find_and_lock(&writer, digest, LockMode::NoKeyUpdate, LockWait::Wait)? {
            let (known, expiry) = expiry::find(&context, digest, &row, &*context.params()?);
            if let Some(expiry) = expiry {
                let activity = known.session.last_activity;
                end::record_one(&context, expiry.into(), *digest, row.user_name(), activity)?;
            } else {
                replaced = Some((row.version(), row.user_name_bytes().map(<[u8]>::to_vec)));
            }
            writer.update(&row, fill)?;
            break;
        }
        let mut values: Values = vec![None; column::COUNT];
        *value_of(&mut values, column::DIGEST) = digest_datum(digest);
        let key = writer.table().primary_key_on(column::DIGEST);
        if writer.insert_unless_present(values, key, fill)? {
            break;
        }
    }
    context.page_written(&writer);
    let key = context.objects.key(digest);
    notes::session_changed(&key, Change::Written);
    notes::session_derives(&key, version.get(), None);
    if let Some((version, name)) = replaced {
        notes::session_replaced(&key, version, name.as_deref());
    }
    make_visible();
    Ok(())
}

/// Closes a session. Returns whether it was open: one that was found expired was not, and ends as such here.
pub fn close(digest: &Digest) -> Result<bool, Error> {
    let context = Context::newest()?;
    let mut writer = Writer::open(context.objects.session)?;
    let Some(row) = find_and_lock(&writer, digest, LockMode::Update, LockWait::Wait)? else {
        return Ok(false);
    };
    let known = context.known(digest, &row.row());
    end_one(
        &context,
        &mut writer,
        &row,
        digest,
        &known,
        kind_of(&known, Kind::Closed),
    )?;
    Ok(known.expired.is_none())
}

/// Closes the sessions of a user except one. Returns how many. Waits for logins of that user that are in progress.
pub fn close_user(user_name: (Datum, &[u8]), except: Option<&Digest>) -> Result<usize, Error> {
    let context = Context::newest()?;
    let table = context.objects.session;
    user_lock::for_revocation(table.oid, user_name.1);
    let mut writer = Writer::open(table)?;
    let mut batch = Batch::new(&context, RegistryUpdate::AtCommit)?;
    let mut row_context = RowContext::new();
    loop {
        let mut has_moved = false;
        let snapshot = LatestSnapshot::take(writer.table());
        for digest in session::digests_of_user(writer.table(), &snapshot, user_name.0) {
            pgrx::check_for_interrupts!();
            if Some(&digest) == except {
                continue;
            }
            row_context.run(|| -> Result<(), Error> {
                let Some(row) = find_and_lock(&writer, &digest, LockMode::Update, LockWait::Wait)? else {
                    has_moved = true;
                    return Ok(());
                };
                let known = context.known(&digest, &row.row());
                // While we waited it may have become a session of another user.
                if row.user_name_bytes() == Some(user_name.1) {
                    batch.end(&mut writer, &row, &digest, &known, kind_of(&known, Kind::Revoked))?;
                }
                Ok(())
            })?;
        }
        make_visible();
        // It was closed while we waited, or rotated, and lives on under another digest.
        if !has_moved {
            break;
        }
    }
    let closed = batch.count(Kind::Revoked);
    batch.note();
    Ok(closed)
}

/// Finds the row of a digest and locks it. `None` if there is none, and no running transaction has inserted one.
fn find_and_lock_or_wait(writer: &mut Writer, digest: &Digest) -> Result<Option<LockedTuple>, Error> {
    loop {
        pgrx::check_for_interrupts!();
        if let Some(row) = find_and_lock(writer, digest, LockMode::Update, LockWait::Wait)? {
            return Ok(Some(row));
        }
        let mut values: Values = vec![None; column::COUNT];
        *value_of(&mut values, column::DIGEST) = digest_datum(digest);
        let key = writer.table().primary_key_on(column::DIGEST);
        if writer.is_key_free(&values, key)? {
            return Ok(None);
        }
    }
}

/// Moves a session to a new digest, with both its clocks. Returns whether the session was valid.
///
/// # Errors
/// 23505 if a session is open under the new digest.
pub fn rotate(old: &Digest, new: &Digest) -> Result<bool, Error> {
    let context = Context::newest()?;
    let mut writer = Writer::open(context.objects.session)?;
    let Some(row) = find_and_lock(&writer, old, LockMode::Update, LockWait::Wait)? else {
        return Ok(false);
    };
    let present = if old == new {
        None
    } else {
        find_and_lock_or_wait(&mut writer, new)?
    };
    // Judged only now that both are locked, which may have waited.
    let params = context.params()?;
    let (known, expiry) = expiry::find(&context, old, &row, &params);
    if let Some(expiry) = expiry {
        end_one(&context, &mut writer, &row, old, &known, expiry.into())?;
        return Ok(false);
    }
    if old == new {
        return Err(Error::AlreadyOpen);
    }
    if let Some(present) = present {
        match expiry::find(&context, new, &present, &params) {
            (its, Some(expiry)) => end_one(&context, &mut writer, &present, new, &its, expiry.into())?,
            (_, None) => return Err(Error::AlreadyOpen),
        }
    }
    let (old_version, version) = (row.version(), next_value(context.objects.session_version));
    writer.update(&row, |values| {
        *value_of(values, column::DIGEST) = digest_datum(new);
        *value_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(known.session.last_activity));
        *value_of(values, column::VERSION) = Some(version.into());
    })?;
    context.page_written(&writer);
    let (old_key, new_key) = (context.objects.key(old), context.objects.key(new));
    notes::session_changed(&old_key, Change::Closed);
    notes::session_changed(&new_key, Change::Written);
    notes::session_derives(&new_key, version, Some((old_key, old_version)));
    make_visible();
    Ok(true)
}
