//! What the SQL functions do with a session.
//!
//! Every function works on the newest committed version of a row, follows concurrent changes, and treats a deleted row
//! as not open. Where the library is preloaded, a check is answered by the registry, and what the registry knows of a
//! session (newer activity, a mark) counts wherever its row is judged.

pub mod ahead;
pub mod check;
pub mod flush;
pub mod lifecycle;
mod live;
pub mod purge;

use session_timeout_core::digest::Digest;
use session_timeout_core::event::Kind;
use session_timeout_core::params::Params;
use session_timeout_core::registry::Row;
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Expiry, Judgement, Request, Session, judge};

use crate::catalog::Objects;
use crate::error::Error;
use crate::shared::{self, Shared, database};
use crate::store::session_row::{self, SessionRow};
use crate::store::table::Latest;
use crate::store::write::{Attempt, Locked, Patience, Purpose, Writer};
use crate::transaction::{self, Change, key_of};
use crate::{clock, ending, store};
use live::Recorded;

/// A session as row and registry together know it.
pub struct Known {
    /// With the newer activity of the two.
    pub session: Session,
    /// What a check has found it to be, for good.
    pub mark: Option<Expiry>,
}

impl Known {
    /// What is known of the session in this row.
    pub fn of(objects: &Objects, digest: &Digest, row: &Row) -> Self {
        let Some(shared) = shared::get() else {
            return Self {
                session: row.session,
                mark: None,
            };
        };
        let key = key_of(objects, digest);
        let held = shared.registry.held(&key, row.version);
        let (own_activity, own_mark) = transaction::own_knowledge(&key, row.version);
        let activities = [held.map(|held| held.activity), own_activity].into_iter().flatten();
        let session = Session {
            last_activity: activities.fold(row.session.last_activity, Timestamp::max),
            ..row.session
        };
        let mark = held.and_then(|held| held.mark).or(own_mark).or_else(|| {
            if held.is_some_and(|held| held.answers) {
                None
            } else {
                unrecorded_expiry(shared, &session)
            }
        });
        Self { session, mark }
    }

    /// What is known of the session in a row that is locked, and which limit it has passed, for a function that acts on it:
    /// what it finds is final, whatever becomes of its transaction.
    pub fn find_expiry(objects: &Objects, digest: &Digest, row: &Locked, params: &Params) -> (Self, Option<Expiry>) {
        loop {
            let known = Self::of(objects, digest, &row.row());
            let Some(expiry) = known.expiry(params) else {
                return (known, None);
            };
            let Some(shared) = shared::get().filter(|_| known.mark.is_none()) else {
                return (known, Some(expiry));
            };
            let judged = Row {
                session: known.session,
                version: row.version(),
            };
            let key = key_of(objects, digest);
            match live::record_expiry(shared, &key, &judged, row.is_own(), params, expiry, true) {
                Recorded::Yes | Recorded::Over => return (known, Some(expiry)),
                Recorded::StillValid => {}
            }
        }
    }

    /// Which limit it has passed by now, or was found to have passed.
    pub fn expiry(&self, params: &Params) -> Option<Expiry> {
        self.mark
            .or(match judge(&self.session, params, Request::Look, clock::now()) {
                Judgement::Expired(expiry) => Some(expiry),
                Judgement::Valid { .. } => None,
            })
    }
}

/// Whether a session that no verified entry is there of may be one that was found expired without an entry that says so.
fn unrecorded_expiry(shared: &'static Shared, session: &Session) -> Option<Expiry> {
    let limits = database::mine(shared)?.unrecorded.limits();
    if limits.is_none() {
        return None;
    }
    limits.expiry(session, clock::now())
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
            Attempt::Held(row) => return Ok(Some(row)),
            Attempt::Busy => return Ok(None),
            Attempt::Changed => {
                pgrx::check_for_interrupts!();
            }
        }
    }
}

/// The row of one opening of a session, for who waits for nobody.
pub enum Opening {
    /// It is locked.
    Held(Locked),
    /// There is none of this opening.
    Gone,
    /// It is another's for now.
    Busy,
}

/// Locks the row of one opening of a session, waiting for nobody.
pub fn lock_opening(writer: &Writer, digest: &Digest, version: i64, purpose: Purpose) -> Result<Opening, Error> {
    let snapshot = Latest::take(writer.table());
    let Some(tid) = session_row::place(writer.table(), &snapshot, digest) else {
        return Ok(Opening::Gone);
    };
    Ok(match writer.lock(tid, &snapshot, purpose, Patience::Skip)? {
        Attempt::Held(row) if row.version() == version => Opening::Held(row),
        Attempt::Held(_) => Opening::Gone,
        Attempt::Busy | Attempt::Changed => Opening::Busy,
    })
}

/// Deletes a locked row and tells of it, as part of the caller's transaction.
fn remove(
    objects: &Objects,
    writer: &mut Writer,
    row: &Locked,
    digest: &Digest,
    known: &Known,
    kind: Kind,
) -> Result<(), Error> {
    writer.delete(row)?;
    ending::tell(objects, kind, *digest, row.user_name(), known.session.last_activity)?;
    transaction::session_changed(objects, digest, change_of(kind));
    store::make_visible();
    Ok(())
}

/// What the transaction that ends a session for this reason has done to it.
fn change_of(kind: Kind) -> Change {
    match kind {
        Kind::IdleExpired | Kind::AbsoluteExpired => Change::Expired,
        Kind::Closed | Kind::Revoked => Change::Closed,
    }
}
