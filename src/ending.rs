//! What is left of a session that ended: a `session_event` row and a notice.

use std::ffi::{CString, c_char};
use std::ops::ControlFlow;

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::event::{CHANNEL, Ended, Kind, notices};
use session_timeout_core::time::Timestamp;

use crate::catalog::Objects;
use crate::clock;
use crate::error::Error;
use crate::settings;
use crate::store::event_row::column::{AT, ID};
use crate::store::session_row::{digest_datum, timestamp_datum};
use crate::store::table::{Latest, Table};
use crate::store::write::{Attempt, Patience, Purpose, Writer};
use crate::store::{self, scan};

// Not among pgrx's bindings: commands/async.h.
unsafe extern "C-unwind" {
    fn Async_Notify(channel: *const c_char, payload: *const c_char);
}

/// Past this share of the notification queue, notices are skipped: a full queue would fail the caller's commit.
const QUEUE_SHARE: f64 = 0.5;

/// The most notices for one batch, however many sessions end in it: they are kept in memory until the commit.
const MAX_NOTICES: usize = 1000;

/// The sessions that one function call, or one transaction of the worker, ends. Their events are written as they come, the
/// notices by [`Batch::announce`].
pub struct Batch {
    /// What replication brings has been told of where it happened.
    is_replayed: bool,
    /// `None` where no events are written.
    events: Option<Events>,
    /// By the reason.
    ended: Vec<(Kind, Vec<Ended>)>,
}

impl Batch {
    /// An empty one. Its memory is of the context that is the current one now.
    pub fn new(objects: &Objects) -> Result<Self, Error> {
        // SAFETY: a plain read.
        let is_replayed = unsafe { pg_sys::SessionReplicationRole == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32 };
        let keeps_events = settings::current()?.event_retention.is_some();
        Ok(Self {
            is_replayed,
            events: if keeps_events && !is_replayed {
                Some(Events::open(objects)?)
            } else {
                None
            },
            ended: Vec::new(),
        })
    }

    /// Adds a session, and writes its event unless none are written.
    pub fn add(
        &mut self,
        kind: Kind,
        digest: Digest,
        user_name: Option<Datum>,
        last_activity: Timestamp,
    ) -> Result<(), Error> {
        let event = match &mut self.events {
            Some(events) => Some(events.write(kind, &digest, user_name, last_activity)?),
            None => None,
        };
        let one = Ended { event, digest };
        match self.ended.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, ended)) => ended.push(one),
            None => self.ended.push((kind, vec![one])),
        }
        Ok(())
    }

    /// Whether it writes events.
    pub fn keeps_events(&self) -> bool {
        self.events.is_some()
    }

    /// How many sessions were added.
    pub fn len(&self) -> usize {
        self.ended.iter().map(|(_, ended)| ended.len()).sum()
    }

    /// How many sessions were added for this reason.
    pub fn count(&self, kind: Kind) -> usize {
        let of_kind = self.ended.iter().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, ended)| ended.len()).sum()
    }

    /// Sends the notices, which listeners get when the transaction commits. That commit waits for those of others that have
    /// sent notices.
    pub fn announce(self) {
        send(&mut self.into_notices());
    }

    /// The notices that are to be sent.
    pub fn into_notices(self) -> Vec<CString> {
        let most = if self.is_replayed { 0 } else { MAX_NOTICES };
        let payloads = self.ended.iter().flat_map(|(kind, ended)| notices(*kind, ended));
        payloads
            .take(most)
            .filter_map(|payload| CString::new(payload).ok())
            .collect()
    }
}

/// Sends notices; skips them while the queue is half full.
fn send(payloads: &mut Vec<CString>) {
    for payload in payloads.drain(..) {
        if queue_usage() >= QUEUE_SHARE {
            return;
        }
        if let Ok(channel) = CString::new(CHANNEL) {
            let (channel, payload) = (channel.as_ptr(), payload.as_ptr());
            // SAFETY: both are null-terminated and copied; the payload is shorter than the limit.
            unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| Async_Notify(channel, payload)) };
        }
    }
}

/// Sends notices where the commit will not have to wait for those of others that have sent some: whether it was so.
pub fn try_send(payloads: &mut Vec<CString>) -> bool {
    if !payloads.is_empty() {
        if !lock_notices() {
            return false;
        }
        send(payloads);
    }
    true
}

/// Takes the lock under which transactions that have sent notices commit one after the other, if it is free. Whoever holds
/// it may be waiting for a standby; the worker is not to wait with it.
fn lock_notices() -> bool {
    let tag = pg_sys::LOCKTAG {
        // As PreCommit_Notify locks "database 0".
        locktag_field1: 0,
        locktag_field2: pg_sys::DatabaseRelationId.into(),
        locktag_field3: 0,
        locktag_field4: 0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
        locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
    };
    let mode = pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: within a transaction, which releases it at its end; does not wait.
    unsafe { pg_sys::LockAcquire(&tag, mode, false, true) != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL }
}

/// The table of events, open to write.
struct Events {
    writer: Writer,
    ids: Oid,
}

impl Events {
    fn open(objects: &Objects) -> Result<Self, Error> {
        Ok(Self {
            writer: Writer::open(objects.session_event)?,
            ids: objects.session_event_id,
        })
    }

    fn write(
        &mut self,
        kind: Kind,
        digest: &Digest,
        user_name: Option<Datum>,
        last_activity: Timestamp,
    ) -> Result<i64, Error> {
        let id = store::next_value(self.ids);
        self.writer.insert(vec![
            Some(id.into()),
            Some(timestamp_datum(clock::now())),
            digest_datum(digest),
            user_name,
            kind.as_str().into_datum(),
            Some(timestamp_datum(last_activity)),
        ])?;
        Ok(id)
    }
}

/// Tells of a single session that ended.
pub fn tell(
    objects: &Objects,
    kind: Kind,
    digest: Digest,
    user_name: Option<Datum>,
    last_activity: Timestamp,
) -> Result<(), Error> {
    let mut batch = Batch::new(objects)?;
    batch.add(kind, digest, user_name, last_activity)?;
    batch.announce();
    Ok(())
}

/// Whether events can be written without waiting for a lock on their table; holds that lock from here on.
pub fn can_write_events(objects: &Objects) -> bool {
    Table::try_open_to_write(objects.session_event).is_some()
}

/// Deletes events that are older than `oldest_kept`, the oldest first, `most` at the most, leaving those that others have
/// locked: how many. They are found by their ids, whose order is that of their times but for moments. Events of a clock that
/// was ahead, which would stand in the way of those after them, are dated now.
pub fn delete_oldest_events(objects: &Objects, oldest_kept: Timestamp, most: usize) -> Result<usize, Error> {
    let Some(mut writer) = Writer::try_open(objects.session_event) else {
        return Ok(0);
    };
    let key = writer.table().primary_key_on(ID);
    if key == Oid::INVALID {
        // Somebody has taken it away, and the order with it.
        return Ok(0);
    }
    let snapshot = Latest::take(writer.table());
    let now = clock::now();
    let (mut old, mut ahead) = (Vec::new(), Vec::new());
    scan::rows_in_order(writer.table(), &snapshot, key, |event| {
        let at = event.column(AT).map(|at| Timestamp::from_micros(at.value() as i64));
        let which = match at {
            Some(at) if at < oldest_kept => &mut old,
            Some(at) if at > now => &mut ahead,
            _ => return ControlFlow::Break(()),
        };
        if which.len() == most {
            return ControlFlow::Break(());
        }
        which.push(event.tid());
        ControlFlow::Continue(())
    });
    for tid in ahead {
        if let Attempt::Held(event) = writer.lock(tid, &snapshot, Purpose::Update, Patience::Skip)? {
            writer.update(&event, |values| values[AT as usize - 1] = Some(timestamp_datum(now)))?;
        }
    }
    let mut deleted = 0;
    for tid in old {
        if let Attempt::Held(event) = writer.lock(tid, &snapshot, Purpose::Remove, Patience::Skip)? {
            writer.delete(&event)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

fn queue_usage() -> f64 {
    // SAFETY: a function of PostgreSQL's without arguments.
    unsafe { pgrx::direct_function_call::<f64>(pg_sys::pg_notification_queue_usage, &[]) }.unwrap_or(0.0)
}
