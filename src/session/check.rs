//! Checks: from the registry where there is one, from the row where there is none.

use pgrx::pg_sys::Datum;
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::Row;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Judgement, Outlook, Request, Session, Status, judge, touch_is_due};

use super::{Known, Opening, find_and_lock, live, lock_opening, remove};
use crate::catalog::{self, Objects};
use crate::error::Error;
use crate::store::session_row::{self, SessionRow, column, slot_of, timestamp_datum};
use crate::store::table::{Latest, Table};
use crate::store::write::{Patience, Purpose, Writer};
use crate::{clock, ending, settings, shared, store};

/// What a check found: the status, and the session where there is one.
pub struct Finding {
    /// The answer in a word.
    pub status: Status,
    /// The session as it now stands, where there is one and it was asked for.
    pub details: Option<Details>,
}

/// What a verdict shows of a session.
pub struct Details {
    /// Its clocks, after a touch where there was one.
    pub session: Session,
    /// Its user name, a `text`.
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

/// Whether the caller wants to see the session too: its user name costs a read of the row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only the answer.
    Answer,
    /// All of it.
    Full,
}

/// Checks a session for a request: judges it, and carries out what follows.
pub fn check(digest: &Digest, url: Option<&[u8]>, detail: Detail) -> Result<Finding, Error> {
    by_newest_extension(|objects| {
        let params = settings::current()?;
        let request = match url {
            Some(url) if params.ignored_urls.matches(url) => Request::Ignored,
            _ => Request::Counting,
        };
        evaluate(objects, digest, &params, request, detail)
    })
}

/// Looks at a session, touching nothing and expiring nothing.
pub fn peek(digest: &Digest) -> Result<Finding, Error> {
    by_newest_extension(|objects| evaluate(objects, digest, &*settings::current()?, Request::Look, Detail::Full))
}

/// Judges by the extension's objects. If no session was found, and the extension was dropped and created anew while that waited
/// for a table of the old one, the new one is asked.
fn by_newest_extension(judge: impl Fn(&Objects) -> Result<Finding, Error>) -> Result<Finding, Error> {
    const TRIES: usize = 8;
    let mut objects = catalog::objects()?;
    for _ in 1..TRIES {
        let finding = judge(&objects)?;
        if !matches!(finding.status, Status::Unknown | Status::Closed) {
            return Ok(finding);
        }
        match catalog::objects() {
            Ok(newest) if newest.session != objects.session => objects = newest,
            _ => return Ok(finding),
        }
    }
    judge(&objects)
}

fn evaluate(
    objects: &Objects,
    digest: &Digest,
    params: &Params,
    request: Request,
    detail: Detail,
) -> Result<Finding, Error> {
    // Read before the check, which may delete the row.
    let named = if detail == Detail::Full {
        read_name(objects, digest)
    } else {
        None
    };
    let (answered, now) = match shared::get() {
        Some(shared) => live::evaluate(shared, objects, digest, params, request),
        None => on_row(objects, digest, params, request)?,
    };
    let (status, session) = match answered {
        Answered::Session(status, session) => (status, session),
        Answered::NoSession(status) => return Ok(Finding { status, details: None }),
    };
    if detail == Detail::Answer {
        return Ok(Finding { status, details: None });
    }
    // Where the session was opened again in between, the name is read again.
    let user_name = match named {
        Some((opened_at, name)) if opened_at == session.opened_at => name,
        _ => read_name(objects, digest)
            .filter(|(opened_at, _)| *opened_at == session.opened_at)
            .and_then(|(_, name)| name),
    };
    let outlook = Outlook::of(&session, params, status, now);
    Ok(Finding {
        status,
        details: Some(Details {
            // Shown as it counts, where a clock was ahead.
            session: Session {
                last_activity: session.last_activity.min(now),
                ..session
            },
            user_name,
            outlook,
        }),
    })
}

/// Whose session a row is, and of which opening.
fn read_name(objects: &Objects, digest: &Digest) -> Option<(Timestamp, Option<Datum>)> {
    read(objects, digest, |row| (row.session().opened_at, row.user_name()))
}

/// What a check says, before its details are looked up.
pub(super) enum Answered {
    /// There is a session, in this state, as it now stands.
    Session(Status, Session),
    /// There is none: closed or unknown.
    NoSession(Status),
}

impl Answered {
    /// The row that was judged, with all that was known of its session then.
    pub(super) fn row_of(&self, row: &Row) -> Row {
        match self {
            Self::Session(_, session) => Row {
                session: *session,
                ..*row
            },
            Self::NoSession(_) => *row,
        }
    }
}

/// Without the registry: judges the row, and writes the touch or the expiry to it, in the caller's transaction, unless
/// that has to wait or nothing can be written.
fn on_row(
    objects: &Objects,
    digest: &Digest,
    params: &Params,
    request: Request,
) -> Result<(Answered, Timestamp), Error> {
    let row = read(objects, digest, |version| version.row());
    // Not before the row was read, which may have waited: others have used the session meanwhile.
    let mut now = clock::now();
    let Some(Row { mut session, version }) = row else {
        return Ok((Answered::NoSession(Status::Unknown), now));
    };
    let judgement = judge(&session, params, request, now);
    match judgement {
        Judgement::Valid { touch: true, .. } if touch_is_due(&session, params, now) && store::is_writable() => {
            if let Some(touched) = touch(objects, digest, version, params)? {
                session.last_activity = touched;
                now = touched;
            }
        }
        Judgement::Expired(_) if request != Request::Look && store::is_writable() => {
            expire(objects, digest, params)?;
        }
        _ => {}
    }
    Ok((Answered::Session(judgement.into(), session), now))
}

/// Looks at the newest committed version of a session's row; `None` where there is none.
pub(super) fn read<T>(objects: &Objects, digest: &Digest, look: impl Fn(store::scan::Version) -> T) -> Option<T> {
    let table = Table::open_to_read(objects.session)?;
    let snapshot = Latest::take(&table);
    session_row::find(&table, &snapshot, digest, look)
}

/// Moves the activity of the opening that was judged forward to now, unless that has to wait for another transaction: losing a
/// touch can only end a session early. The new activity, if it was written.
fn touch(objects: &Objects, digest: &Digest, version: i64, params: &Params) -> Result<Option<Timestamp>, Error> {
    let Some(mut writer) = Writer::try_open(objects.session) else {
        return Ok(None);
    };
    let Opening::Held(row) = lock_opening(&writer, digest, version, Purpose::Update)? else {
        return Ok(None);
    };
    let now = clock::now();
    if !touch_is_due(&row.session(), params, now) {
        return Ok(None);
    }
    writer.update(&row, |values| {
        *slot_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(now));
    })?;
    store::make_visible();
    Ok(Some(now))
}

/// Deletes a session that is past its limit and tells of it, unless that has to wait for another transaction, or the
/// session has been touched or changed meanwhile.
fn expire(objects: &Objects, digest: &Digest, params: &Params) -> Result<(), Error> {
    let Some(mut writer) = Writer::try_open(objects.session) else {
        return Ok(());
    };
    if !ending::can_write_events(objects) {
        return Ok(());
    }
    let Some(row) = find_and_lock(&writer, digest, Purpose::Remove, Patience::Skip)? else {
        return Ok(());
    };
    let known = Known::of(objects, digest, &row.row());
    if let Some(expiry) = known.expiry(params) {
        remove(objects, &mut writer, &row, digest, &known, expiry.into())?;
    }
    Ok(())
}
