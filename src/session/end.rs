//! Ending a session: its row is deleted, an event and a notice say so, and the transaction notes it.
//!
//! This is the only place that does it. The locks and the judgement before it are the caller's.
//!
//! # Notices
//!
//! Transactions that have sent notices commit one after another, under a lock of PostgreSQL that each holds to the end of its
//! commit, even while it waits for a synchronous standby. The worker must not wait for that: it takes the lock only if it is
//! free ([`try_send`]). If not, it commits the deletion without its notices, and sends them in a later transaction of the same
//! pass, or drops them: a notice is a hint, the event is the proof.

use std::ffi::CString;

use pgrx::pg_sys::{self, Datum};
use session_timeout_core::digest::Digest;
use session_timeout_core::event::{CHANNEL, Ended, Kind, notices};
use session_timeout_core::time::Timestamp;

use super::context::Context;
use super::known::Known;
use crate::error::Error;
use crate::pg::modification::{LockedTuple, Writer, Written};
use crate::pg::notify;
use crate::pg::transaction::{is_replaying, make_visible};
use crate::rows::session::SessionRow;
use crate::rows::session_cursor::SessionCursor;
use crate::rows::session_event::EventWriter;
use crate::xact::notes::{self, Change, EndedNote, MAX_NOTICES};

/// Who brings the end of a session to the registry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RegistryUpdate {
    /// The callbacks at the end of the transaction, by its notes.
    AtCommit,
    /// The caller, after its commit.
    ByCaller,
}

/// The sessions that one function call, or one transaction of the worker, ends. Events are written as sessions are added.
/// Notices of [`Batch::note`] are sent at the commit, those of [`Batch::into_notices`] by the caller.
pub struct Batch {
    context: Context,
    update: RegistryUpdate,
    /// Whether notices are sent: not of what replication brings, which was reported where it comes from.
    sends_notices: bool,
    /// `None` if no events are written.
    events: Option<EventWriter>,
    /// By kind.
    ended: Vec<(Kind, Vec<Ended>)>,
}

impl Batch {
    /// An empty batch. It allocates in the memory context that is current now.
    pub fn new(context: &Context, update: RegistryUpdate) -> Result<Self, Error> {
        let is_replaying = is_replaying();
        let params = context.params()?;
        let keeps_events = params.event_retention.is_some();
        let objects = &context.objects;
        Ok(Self {
            context: *context,
            update,
            sends_notices: params.notices && !is_replaying,
            events: if keeps_events && !is_replaying {
                Some(EventWriter::open(objects.session_event, objects.session_event_id)?)
            } else {
                None
            },
            ended: Vec::new(),
        })
    }

    /// Ends a session whose row is locked.
    pub fn end(
        &mut self,
        writer: &mut Writer,
        row: &LockedTuple,
        digest: &Digest,
        known: &Known,
        kind: Kind,
    ) -> Result<(), Error> {
        writer.delete(row)?;
        self.record(kind, *digest, row.user_name(), known.session.last_activity)?;
        self.note_change(digest, kind);
        Ok(())
    }

    /// Ends a session whose row is not locked, if the tuple at a place is still its newest and nobody else has locked it.
    /// Waits for nobody. Returns whether it ended. The cursor has found that tuple.
    pub fn try_end(
        &mut self,
        writer: &mut Writer,
        cursor: &mut SessionCursor,
        tid: pg_sys::ItemPointerData,
        digest: &Digest,
        row: &session_timeout_core::registry::Row,
        kind: Kind,
    ) -> Result<bool, Error> {
        if writer.try_delete(tid) == Written::No {
            return Ok(false);
        }
        let known = self.context.known(digest, row);
        let user_name = if self.events.is_some() {
            cursor.fetch(tid).and_then(|tuple| tuple.user_name())
        } else {
            None
        };
        self.record(kind, *digest, user_name, known.session.last_activity)?;
        self.note_change(digest, kind);
        Ok(true)
    }

    /// Writes the event of a session that ends, and adds it to the notices. Its row is gone, or goes without this.
    pub fn record(
        &mut self,
        kind: Kind,
        digest: Digest,
        user_name: Option<Datum>,
        last_activity: Timestamp,
    ) -> Result<(), Error> {
        let event = match &mut self.events {
            Some(events) => Some(events.insert(kind, &digest, user_name, last_activity)?),
            None => None,
        };
        let ended = Ended { event, digest };
        match self.ended.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, of_kind)) => of_kind.push(ended),
            None => self.ended.push((kind, vec![ended])),
        }
        Ok(())
    }

    fn note_change(&self, digest: &Digest, kind: Kind) {
        if self.update == RegistryUpdate::AtCommit {
            let change = match kind {
                Kind::IdleExpired | Kind::AbsoluteExpired => Change::Expired,
                Kind::Closed | Kind::Revoked => Change::Closed,
            };
            notes::session_changed(&self.context.objects.key(digest), change);
        }
    }

    /// How many sessions were ended.
    pub fn len(&self) -> usize {
        self.ended.iter().map(|(_, ended)| ended.len()).sum()
    }

    /// How many sessions were ended for this reason.
    pub fn count(&self, kind: Kind) -> usize {
        let of_kind = self.ended.iter().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, ended)| ended.len()).sum()
    }

    /// Notes the sessions in the current transaction, which sends their notices before its commit. That commit waits for other
    /// commits that have sent notices.
    pub fn note(self) {
        if !self.sends_notices {
            return;
        }
        for (kind, ended) in self.ended {
            for one in ended {
                notes::session_ended(kind, one);
            }
        }
    }

    /// The notices.
    pub fn into_notices(self) -> Vec<CString> {
        if !self.sends_notices {
            return Vec::new();
        }
        payloads(&self.ended)
    }
}

fn payloads(ended: &[(Kind, Vec<Ended>)]) -> Vec<CString> {
    let payloads = ended.iter().flat_map(|(kind, ended)| notices(*kind, ended));
    payloads
        .take(MAX_NOTICES)
        .filter_map(|payload| CString::new(payload).ok())
        .collect()
}

/// Sends the notices of the sessions that the current transaction has ended, before its commit.
pub fn send(noted: Vec<EndedNote>) {
    let mut ended: Vec<(Kind, Vec<Ended>)> = Vec::new();
    for EndedNote { kind, ended: one, .. } in noted {
        match ended.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, of_kind)) => of_kind.push(one),
            None => ended.push((kind, vec![one])),
        }
    }
    notify_all(&mut payloads(&ended));
}

/// Ends one session whose row is locked, in the caller's transaction.
pub fn end_one(
    context: &Context,
    writer: &mut Writer,
    row: &LockedTuple,
    digest: &Digest,
    known: &Known,
    kind: Kind,
) -> Result<(), Error> {
    let mut batch = Batch::new(context, RegistryUpdate::AtCommit)?;
    batch.end(writer, row, digest, known, kind)?;
    batch.note();
    make_visible();
    Ok(())
}

/// Writes the event, and notes the notice, of one session whose row is gone, or goes without this.
pub fn record_one(
    context: &Context,
    kind: Kind,
    digest: Digest,
    user_name: Option<Datum>,
    last_activity: Timestamp,
) -> Result<(), Error> {
    let mut batch = Batch::new(context, RegistryUpdate::ByCaller)?;
    batch.record(kind, digest, user_name, last_activity)?;
    batch.note();
    Ok(())
}

/// The kind of event of a session that ends: the limit by which it was found expired, else `otherwise`.
pub fn kind_of(known: &Known, otherwise: Kind) -> Kind {
    known.expired.map_or(otherwise, Kind::from)
}

/// Sends notices. Skips them while half of the notification queue is in use.
fn notify_all(payloads: &mut Vec<CString>) {
    let Ok(channel) = CString::new(CHANNEL) else { return };
    for payload in payloads.drain(..) {
        if !notify::notify(&channel, &payload) {
            return;
        }
    }
}

/// Sends notices if the commit will not have to wait for others that have sent some. Returns whether it did.
pub fn try_send(payloads: &mut Vec<CString>) -> bool {
    if !payloads.is_empty() {
        if !notify::try_lock_commits() {
            return false;
        }
        notify_all(payloads);
    }
    true
}
