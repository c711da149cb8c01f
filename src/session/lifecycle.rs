//! Opening, closing, revoking and rotating sessions: always the caller's transaction.

use std::cell::Cell;

use pgrx::pg_sys::Datum;
use session_timeout_core::digest::Digest;
use session_timeout_core::event::Kind;

use super::{Known, change_of, find_and_lock, remove};
use crate::catalog;
use crate::ending::{self, Batch};
use crate::error::Error;
use crate::store::session_row::{self, SessionRow, column, digest_datum, slot_of, timestamp_datum};
use crate::store::table::Latest;
use crate::store::write::{Locked, Patience, Purpose, Values, Writer};
use crate::store::{self, Scratch, login_lock};
use crate::transaction::{self, Change, key_of};
use crate::{clock, settings};

/// Opens a session, or restarts both clocks of one that is open.
pub fn open(
    digest: &Digest,
    user_name: Option<(Datum, &[u8])>,
    idle_delay: Option<Datum>,
    absolute_delay: Option<Datum>,
) -> Result<(), Error> {
    let objects = catalog::newest_objects()?;
    if let Some((_, name)) = user_name {
        login_lock::for_login(objects.session, name);
    }
    let mut writer = Writer::open(objects.session)?;
    let version = Cell::new(0);
    let mut replaced = None;
    loop {
        pgrx::check_for_interrupts!();
        // A row that the current command has written is there too.
        store::make_visible();
        // Called when nothing is waited for any more, so that the clocks begin now; and, where there is a row, with that locked:
        // of one session, the later writer has the greater version.
        let fill = |values: &mut Values| {
            version.set(store::next_value(objects.session_version));
            *slot_of(values, column::VERSION) = Some(version.get().into());
            let now = Some(timestamp_datum(clock::now()));
            *slot_of(values, column::USER_NAME) = user_name.map(|(datum, _)| datum);
            *slot_of(values, column::OPENED_AT) = now;
            *slot_of(values, column::LAST_ACTIVITY) = now;
            *slot_of(values, column::IDLE_DELAY) = idle_delay;
            *slot_of(values, column::ABSOLUTE_DELAY) = absolute_delay;
        };
        if let Some(row) = find_and_lock(&writer, digest, Purpose::Update, Patience::Wait)? {
            let (known, expiry) = Known::find_expiry(&objects, digest, &row, &*settings::current()?);
            if let Some(expiry) = expiry {
                ending::tell(
                    &objects,
                    expiry.into(),
                    *digest,
                    row.user_name(),
                    known.session.last_activity,
                )?;
            } else {
                replaced = Some((row.version(), row.user_name_bytes().map(<[u8]>::to_vec)));
            }
            writer.update(&row, fill)?;
            break;
        }
        let mut values: Values = vec![None; column::COUNT];
        *slot_of(&mut values, column::DIGEST) = digest_datum(digest);
        let key = writer.table().primary_key_on(column::DIGEST);
        if writer.insert_unless_present(values, key, fill)? {
            break;
        }
    }
    transaction::session_changed(&objects, digest, Change::Written);
    let key = key_of(&objects, digest);
    transaction::session_descends(&key, version.get(), None);
    if let Some((version, name)) = replaced {
        transaction::session_replaced(&key, version, name.as_deref());
    }
    store::make_visible();
    Ok(())
}

/// Closes a session: whether it was open. One that was found expired was not: what is left of it is written here.
pub fn close(digest: &Digest) -> Result<bool, Error> {
    let objects = catalog::newest_objects()?;
    let mut writer = Writer::open(objects.session)?;
    let Some(row) = find_and_lock(&writer, digest, Purpose::Remove, Patience::Wait)? else {
        return Ok(false);
    };
    let known = Known::of(&objects, digest, &row.row());
    let kind = known.mark.map_or(Kind::Closed, Kind::from);
    remove(&objects, &mut writer, &row, digest, &known, kind)?;
    Ok(known.mark.is_none())
}

/// Closes the sessions of a user, but for one: how many. Waits for logins of that user that are in flight.
pub fn close_user(user_name: (Datum, &[u8]), except: Option<&Digest>) -> Result<usize, Error> {
    let objects = catalog::newest_objects()?;
    login_lock::for_revocation(objects.session, user_name.1);
    let mut writer = Writer::open(objects.session)?;
    let mut batch = Batch::new(&objects)?;
    let mut scratch = Scratch::new();
    loop {
        let mut has_moved = false;
        for digest in session_row::digests_of_user(writer.table(), &Latest::take(writer.table()), user_name.0) {
            pgrx::check_for_interrupts!();
            if Some(&digest) == except {
                continue;
            }
            scratch.run(|| -> Result<(), Error> {
                let Some(row) = find_and_lock(&writer, &digest, Purpose::Remove, Patience::Wait)? else {
                    has_moved = true;
                    return Ok(());
                };
                let known = Known::of(&objects, &digest, &row.row());
                // It may have become another user's while we waited.
                if row.user_name_bytes() == Some(user_name.1) {
                    writer.delete(&row)?;
                    // One that was found expired was not open: what is left of it is written here.
                    let kind = known.mark.map_or(Kind::Revoked, Kind::from);
                    batch.add(kind, digest, row.user_name(), known.session.last_activity)?;
                    transaction::session_changed(&objects, &digest, change_of(kind));
                }
                Ok(())
            })?;
        }
        store::make_visible();
        // Closed by another while we waited, or rotated: then it goes on under another digest.
        if !has_moved {
            break;
        }
    }
    let closed = batch.count(Kind::Revoked);
    batch.announce();
    Ok(closed)
}

/// Finds the row of a digest and locks it; `None` if there is none, and no transaction that has inserted one is under way.
fn find_or_reserve(writer: &mut Writer, digest: &Digest) -> Result<Option<Locked>, Error> {
    loop {
        pgrx::check_for_interrupts!();
        if let Some(row) = find_and_lock(writer, digest, Purpose::Remove, Patience::Wait)? {
            return Ok(Some(row));
        }
        let mut values: Values = vec![None; column::COUNT];
        *slot_of(&mut values, column::DIGEST) = digest_datum(digest);
        let key = writer.table().primary_key_on(column::DIGEST);
        if writer.is_key_free(&values, key)? {
            return Ok(None);
        }
    }
}

/// Moves a session to a new digest, with both its clocks: whether the old one was valid.
///
/// # Errors
/// 23505 where a session is open under the new one.
pub fn rotate(old: &Digest, new: &Digest) -> Result<bool, Error> {
    let objects = catalog::newest_objects()?;
    let mut writer = Writer::open(objects.session)?;
    let Some(row) = find_and_lock(&writer, old, Purpose::Remove, Patience::Wait)? else {
        return Ok(false);
    };
    let present = if old == new {
        None
    } else {
        find_or_reserve(&mut writer, new)?
    };
    // Not before both are locked, which may have waited.
    let params = settings::current()?;
    let (known, expiry) = Known::find_expiry(&objects, old, &row, &params);
    if let Some(expiry) = expiry {
        remove(&objects, &mut writer, &row, old, &known, expiry.into())?;
        return Ok(false);
    }
    if old == new {
        return Err(Error::AlreadyOpen);
    }
    if let Some(present) = present {
        match Known::find_expiry(&objects, new, &present, &params) {
            (its, Some(expiry)) => remove(&objects, &mut writer, &present, new, &its, expiry.into())?,
            (_, None) => return Err(Error::AlreadyOpen),
        }
    }
    let (old_version, version) = (row.version(), store::next_value(objects.session_version));
    writer.update(&row, |values| {
        *slot_of(values, column::DIGEST) = digest_datum(new);
        *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(known.session.last_activity));
        *slot_of(values, column::VERSION) = Some(version.into());
    })?;
    transaction::session_changed(&objects, old, Change::Closed);
    transaction::session_changed(&objects, new, Change::Written);
    let from = (key_of(&objects, old), old_version);
    transaction::session_descends(&key_of(&objects, new), version, Some(from));
    store::make_visible();
    Ok(true)
}
