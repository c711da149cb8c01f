//! What the SQL functions do with a session, on its row.
//!
//! Every function works on the newest committed version of a row, follows concurrent changes, and treats a deleted row
//! as not open. What a function writes is the caller's transaction; a check that finds nothing to write, or may not
//! write, still answers.

use pgrx::pg_sys::Datum;
use session_timeout_core::digest::Digest;
use session_timeout_core::event::Kind;
use session_timeout_core::params::Params;
use session_timeout_core::verdict::{Expiry, Judgement, Outlook, Request, Session, Status, judge, touch_is_due};

use crate::catalog::{self, Objects};
use crate::ending::{self, Batch};
use crate::error::Error;
use crate::store::session_row::{self, SessionRow, column, digest_datum, slot_of, timestamp_datum};
use crate::store::table::{Latest, Table};
use crate::store::write::{Attempt, Locked, Patience, Purpose, Values, Writer};
use crate::store::{self, Scratch, login_lock, scan};
use crate::{clock, settings, transaction};

/// What a check found: the status, and the session where there is one.
pub struct Finding {
    /// The answer in a word.
    pub status: Status,
    /// The session as it now stands.
    pub details: Option<Details>,
}

/// What a verdict shows of a session.
pub struct Details {
    /// Its clocks, after a touch where there was one.
    pub session: Session,
    /// Its user name, a `text`, where it was asked for.
    pub user_name: Option<Datum>,
    /// How long it has left.
    pub outlook: Outlook,
}

impl Finding {
    /// What is said of a session id that is NULL, empty, or under which nothing is open.
    pub const UNKNOWN: Self = Self {
        status: Status::Unknown,
        details: None,
    };
}

/// Whether a verdict's caller wants to see the user name, which costs a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only the answer.
    Answer,
    /// All of it.
    Full,
}

/// Checks a session for a request: judges it, and carries out what follows.
pub fn check(digest: &Digest, url: Option<&[u8]>, detail: Detail) -> Result<Finding, Error> {
    let params = settings::current()?;
    let request = match url {
        Some(url) if params.ignored_urls.matches(url) => Request::Ignored,
        _ => Request::Counting,
    };
    evaluate(digest, &params, request, detail)
}

/// Looks at a session, touching nothing and expiring nothing.
pub fn peek(digest: &Digest) -> Result<Finding, Error> {
    evaluate(digest, &*settings::current()?, Request::Look, Detail::Full)
}

fn evaluate(digest: &Digest, params: &Params, request: Request, detail: Detail) -> Result<Finding, Error> {
    let objects = catalog::objects()?;
    let Some((mut session, user_name)) = read(&objects, digest, detail) else {
        return Ok(Finding::UNKNOWN);
    };
    let now = clock::now();
    let judgement = judge(&session, params, request, now);
    match judgement {
        Judgement::Valid { touch: true, .. } if touch_is_due(&session, params, now) && store::is_writable() => {
            touch(&objects, digest, params, &mut session)?;
        }
        Judgement::Expired(_) if request != Request::Look && store::is_writable() => {
            expire(&objects, digest, params)?;
        }
        _ => {}
    }
    let status = judgement.into();
    let outlook = Outlook::of(&session, params, status, now);
    Ok(Finding {
        status,
        details: Some(Details {
            session,
            user_name,
            outlook,
        }),
    })
}

fn read(objects: &Objects, digest: &Digest, detail: Detail) -> Option<(Session, Option<Datum>)> {
    let table = Table::open_to_read(objects.session)?;
    let snapshot = Latest::take(&table);
    session_row::find(&table, &snapshot, digest, |row| {
        (
            row.session(),
            if detail == Detail::Full { row.user_name() } else { None },
        )
    })
}

/// Moves a session's activity forward to now, unless that has to wait for another transaction: losing a touch can only
/// end a session early.
fn touch(objects: &Objects, digest: &Digest, params: &Params, session: &mut Session) -> Result<(), Error> {
    let Some(mut writer) = Writer::try_open(objects.session) else {
        return Ok(());
    };
    let Some(row) = find_and_lock(&writer, digest, Purpose::Update, Patience::Skip)? else {
        return Ok(());
    };
    let now = clock::now();
    if touch_is_due(&row.session(), params, now) {
        writer.update(&row, |values| {
            *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(now));
        })?;
        store::make_visible();
        session.last_activity = now;
    }
    Ok(())
}

/// Deletes a session that is past its limit and tells of it, unless that has to wait for another transaction, or the
/// session has been touched or changed meanwhile.
fn expire(objects: &Objects, digest: &Digest, params: &Params) -> Result<(), Error> {
    let Some(mut writer) = Writer::try_open(objects.session) else {
        return Ok(());
    };
    if let Some(row) = find_and_lock(&writer, digest, Purpose::Remove, Patience::Skip)?
        && let Some(expiry) = expiry_of(&row, params)
    {
        remove(objects, &mut writer, &row, expiry.into())?;
    }
    Ok(())
}

/// Opens a session, or restarts both clocks of one that is open.
pub fn open(
    digest: &Digest,
    user_name: Option<(Datum, &[u8])>,
    idle_delay: Option<Datum>,
    absolute_delay: Option<Datum>,
) -> Result<(), Error> {
    let objects = catalog::objects()?;
    if let Some((_, name)) = user_name {
        login_lock::for_login(objects.session, name);
    }
    let mut writer = Writer::open(objects.session);
    loop {
        pgrx::check_for_interrupts!();
        let version = store::next_value(objects.session_version);
        let fill = |values: &mut Values| {
            let now = Some(timestamp_datum(clock::now()));
            *slot_of(values, column::USER_NAME) = user_name.map(|(datum, _)| datum);
            *slot_of(values, column::OPENED_AT) = now;
            *slot_of(values, column::LAST_ACTIVITY) = now;
            *slot_of(values, column::IDLE_DELAY) = idle_delay;
            *slot_of(values, column::ABSOLUTE_DELAY) = absolute_delay;
            *slot_of(values, column::VERSION) = Some(version.into());
        };
        if let Some(row) = find_and_lock(&writer, digest, Purpose::Update, Patience::Wait)? {
            if let Some(expiry) = expiry_of(&row, &*settings::current()?) {
                ending::tell(
                    &objects,
                    expiry.into(),
                    *digest,
                    row.user_name(),
                    row.session().last_activity,
                )?;
            }
            writer.update(&row, fill)?;
            break;
        }
        let mut values: Values = vec![None; column::COUNT];
        *slot_of(&mut values, column::DIGEST) = digest_datum(digest);
        fill(&mut values);
        if writer.insert_unless_present(&values, writer.table().primary_key()) {
            break;
        }
    }
    transaction::has_changed();
    store::make_visible();
    Ok(())
}

/// Closes a session: whether it was open.
pub fn close(digest: &Digest) -> Result<bool, Error> {
    let objects = catalog::objects()?;
    let mut writer = Writer::open(objects.session);
    let Some(row) = find_and_lock(&writer, digest, Purpose::Remove, Patience::Wait)? else {
        return Ok(false);
    };
    remove(&objects, &mut writer, &row, Kind::Closed)?;
    Ok(true)
}

/// Closes the sessions of a user, but for one: how many. Waits for logins of that user that are in flight.
pub fn close_user(user_name: (Datum, &[u8]), except: Option<&Digest>) -> Result<usize, Error> {
    let objects = catalog::objects()?;
    login_lock::for_revocation(objects.session, user_name.1);
    let mut writer = Writer::open(objects.session);
    let mut batch = Batch::new(&objects, Kind::Revoked)?;
    let snapshot = Latest::take(writer.table());
    let mut scratch = Scratch::new();
    for tid in session_row::places_of_user(writer.table(), &snapshot, user_name.0) {
        pgrx::check_for_interrupts!();
        scratch.run(|| -> Result<(), Error> {
            if let Attempt::Held(row) = writer.lock(tid, &snapshot, Purpose::Remove, Patience::Wait)?
                && let Some(digest) = row.digest()
                && Some(&digest) != except
            {
                writer.delete(&row)?;
                batch.add(digest, row.user_name(), row.session().last_activity);
            }
            Ok(())
        })?;
    }
    let closed = batch.len();
    batch.announce();
    transaction::has_changed();
    store::make_visible();
    Ok(closed)
}

/// Moves a session to a new digest, with both its clocks: whether the old one was valid.
///
/// # Errors
/// 23505 where a session is open under the new one.
pub fn rotate(old: &Digest, new: &Digest) -> Result<bool, Error> {
    let objects = catalog::objects()?;
    let params = settings::current()?;
    let mut writer = Writer::open(objects.session);
    let Some(row) = find_and_lock(&writer, old, Purpose::Remove, Patience::Wait)? else {
        return Ok(false);
    };
    if let Some(expiry) = expiry_of(&row, &params) {
        remove(&objects, &mut writer, &row, expiry.into())?;
        return Ok(false);
    }
    if old == new {
        return Err(Error::AlreadyOpen);
    }
    if let Some(present) = find_and_lock(&writer, new, Purpose::Remove, Patience::Wait)? {
        match expiry_of(&present, &params) {
            Some(expiry) => remove(&objects, &mut writer, &present, expiry.into())?,
            None => return Err(Error::AlreadyOpen),
        }
    }
    let version = store::next_value(objects.session_version);
    writer.update(&row, |values| {
        *slot_of(values, column::DIGEST) = digest_datum(new);
        *slot_of(values, column::VERSION) = Some(version.into());
    })?;
    transaction::has_changed();
    store::make_visible();
    Ok(true)
}

/// Expires every session that is past its limit and not locked by others, and deletes old events: how many sessions.
pub fn purge() -> Result<usize, Error> {
    let objects = catalog::objects()?;
    let params = settings::current()?;
    let mut writer = Writer::open(objects.session);
    let snapshot = Latest::take(writer.table());
    let now = clock::now();
    let mut candidates = Vec::new();
    scan::all_rows(writer.table(), &snapshot, |row| {
        if let Judgement::Expired(_) = judge(&row.session(), &params, Request::Look, now) {
            candidates.push(row.tid());
        }
    });
    let mut idle = Batch::new(&objects, Kind::IdleExpired)?;
    let mut absolute = Batch::new(&objects, Kind::AbsoluteExpired)?;
    let mut scratch = Scratch::new();
    for tid in candidates {
        pgrx::check_for_interrupts!();
        scratch.run(|| -> Result<(), Error> {
            if let Attempt::Held(row) = writer.lock(tid, &snapshot, Purpose::Remove, Patience::Skip)?
                && let (Some(expiry), Some(digest)) = (expiry_of(&row, &params), row.digest())
            {
                writer.delete(&row)?;
                let batch = match expiry {
                    Expiry::Idle => &mut idle,
                    Expiry::Absolute => &mut absolute,
                };
                batch.add(digest, row.user_name(), row.session().last_activity);
            }
            Ok(())
        })?;
    }
    let expired = idle.len() + absolute.len();
    idle.announce();
    absolute.announce();
    ending::delete_old_events(&objects)?;
    if expired > 0 {
        transaction::has_changed();
    }
    store::make_visible();
    Ok(expired)
}

/// Finds the newest version of a session's row and locks it. `None` where there is none, or where it is another's and
/// this is not to wait.
fn find_and_lock(
    writer: &Writer,
    digest: &Digest,
    purpose: Purpose,
    patience: Patience,
) -> Result<Option<Locked>, Error> {
    loop {
        let snapshot = Latest::take(writer.table());
        let Some(tid) = session_row::place(writer.table(), &snapshot, digest) else {
            return Ok(None);
        };
        match writer.lock(tid, &snapshot, purpose, patience)? {
            Attempt::Held(row) if row.digest().as_ref() == Some(digest) => return Ok(Some(row)),
            Attempt::Busy => return Ok(None),
            // Deleted or given another digest while we waited: perhaps a new row has taken its place.
            Attempt::Held(_) | Attempt::Gone => {
                pgrx::check_for_interrupts!();
            }
        }
    }
}

/// Which limit a row has passed by now.
fn expiry_of(row: &Locked, params: &Params) -> Option<Expiry> {
    match judge(&row.session(), params, Request::Look, clock::now()) {
        Judgement::Expired(expiry) => Some(expiry),
        Judgement::Valid { .. } => None,
    }
}

/// Deletes a locked row and tells of it.
fn remove(objects: &Objects, writer: &mut Writer, row: &Locked, kind: Kind) -> Result<(), Error> {
    writer.delete(row)?;
    if let Some(digest) = row.digest() {
        ending::tell(objects, kind, digest, row.user_name(), row.session().last_activity)?;
    }
    transaction::has_changed();
    store::make_visible();
    Ok(())
}
