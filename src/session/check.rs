//! Checks: what `check_session`, `session_verdict` and `peek_session` answer.
//!
//! A check collects what it needs once (shared memory, objects, parameters, key) and hands it to [`preloaded`], which asks
//! the registry, or to [`rows_only`], if the library is not preloaded.

use pgrx::pg_sys::Datum;
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Outlook, Request, Session, Status};

use super::answer::{Answer, Check};
use super::context::Context;
use super::{preloaded, rows_only};
use crate::catalog;
use crate::error::Error;
use crate::rows::session::SessionRow;

/// What a caller sees of an [`Answer`].
pub struct Verdict {
    /// The answer in a word.
    pub status: Status,
    /// The session, if there is one and the caller asked for it.
    pub details: Option<Details>,
}

/// What a verdict shows of a session.
pub struct Details {
    /// Its clocks, after a touch.
    pub session: Session,
    /// Its user name, a `text`.
    pub user_name: Option<Datum>,
    /// How long it has left.
    pub outlook: Outlook,
}

impl Verdict {
    /// The verdict on a session id that is NULL or empty.
    pub const UNKNOWN: Self = Self {
        status: Status::Unknown,
        details: None,
    };
}

/// Whether the caller wants to see the session too: its user name costs a read of the row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Only the status.
    Status,
    /// All of it.
    Full,
}

/// Checks a session for a request: judges it, and touches or expires it.
///
/// # Errors
/// 55000 if the extension is not installed.
pub fn check(digest: &Digest, url: Option<&[u8]>, detail: Detail) -> Result<Verdict, Error> {
    evaluate_by_newest_extension(digest, detail, |params| match url {
        Some(url) if params.ignored_urls.matches(url) => Request::Ignored,
        _ => Request::Counting,
    })
}

/// Looks at a session. Touches nothing and expires nothing.
///
/// # Errors
/// 55000 if the extension is not installed.
pub fn peek(digest: &Digest) -> Result<Verdict, Error> {
    evaluate_by_newest_extension(digest, Detail::Full, |_| Request::Look)
}

/// Evaluates a check with the extension's objects. If no session was found, and the extension was dropped and created again
/// while the check waited for a table of the old one, the new extension is asked.
fn evaluate_by_newest_extension(
    digest: &Digest,
    detail: Detail,
    request: impl Fn(&Params) -> Request,
) -> Result<Verdict, Error> {
    const TRIES: usize = 8;
    let mut context = Context::current()?;
    for attempt in 1.. {
        let params = context.params()?;
        let check = Check {
            context,
            key: context.objects.key(digest),
            request: request(&params),
            params,
        };
        let verdict = evaluate(&check, detail)?;
        if attempt == TRIES || !matches!(verdict.status, Status::Unknown | Status::Closed) {
            return Ok(verdict);
        }
        match catalog::objects() {
            Ok(newest) if newest.session.oid != context.objects.session.oid => context.objects = newest,
            _ => return Ok(verdict),
        }
    }
    unreachable!("the last attempt returns")
}

fn evaluate(check: &Check, detail: Detail) -> Result<Verdict, Error> {
    // The name is read before the check, which may delete the row.
    let name_before = match detail {
        Detail::Full => read_name(check),
        Detail::Status => None,
    };
    let (Answer { status, session }, now) = match &check.context.attached {
        Some(attached) => preloaded::evaluate(attached, check),
        None => rows_only::evaluate(check)?,
    };
    let Some(session) = session.filter(|_| detail == Detail::Full) else {
        return Ok(Verdict { status, details: None });
    };
    // If the session was opened again in between, the name is read again.
    let user_name = match name_before {
        Some((opened_at, name)) if opened_at == session.opened_at => name,
        _ => read_name(check)
            .filter(|(opened_at, _)| *opened_at == session.opened_at)
            .and_then(|(_, name)| name),
    };
    Ok(Verdict {
        status,
        details: Some(Details {
            outlook: Outlook::of(&session, &check.params, status, now),
            // Shown as it counts, if its clock was ahead.
            session: Session {
                last_activity: session.last_activity.min(now),
                ..session
            },
            user_name,
        }),
    })
}

/// The user name in a row, with the time of its login.
fn read_name(check: &Check) -> Option<(Timestamp, Option<Datum>)> {
    check.read(|row| (row.session().opened_at, row.user_name()))
}
