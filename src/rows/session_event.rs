//! Rows of `session_timeout.session_event`.

use std::ops::ControlFlow;

use pgrx::pg_sys::{Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::event::Kind;
use session_timeout_core::time::Timestamp;

use super::session::{digest_datum, value_of};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::{timestamp_datum, timestamp_of};
use crate::pg::modification::{LockMode, LockOutcome, LockWait, Writer};
use crate::pg::relation::Table;
use crate::pg::scan;
use crate::pg::sequence;
use crate::pg::shape::{Shape, TableRef};
use crate::pg::snapshot::LatestSnapshot;

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::pg::shape::columns! {
        ID: c"id" INT8OID,
        AT: c"at" TIMESTAMPTZOID,
        DIGEST: c"digest" BYTEAOID,
        USER_NAME: c"user_name" TEXTOID,
        KIND: c"kind" TEXTOID,
        LAST_ACTIVITY: c"last_activity" TIMESTAMPTZOID,
    }
}

/// What the table must look like.
pub const SHAPE: Shape = Shape {
    name: c"session_event",
    key: c"id",
    columns: column::ALL,
};

/// The event table of this OID.
pub fn table(oid: Oid) -> TableRef {
    TableRef { oid, shape: &SHAPE }
}

/// Whether events can be written without waiting for a lock on their table. Keeps that lock from here on.
pub fn try_lock_to_write(events: TableRef) -> bool {
    Table::try_open_to_write(events).is_some()
}

/// The table of events, open for writing.
pub struct EventWriter {
    writer: Writer,
    ids: Oid,
}

impl EventWriter {
    /// Opens the table, whose ids come from the sequence `ids`.
    pub fn open(events: TableRef, ids: Oid) -> Result<Self, Error> {
        Ok(Self {
            writer: Writer::open(events)?,
            ids,
        })
    }

    /// Inserts an event of now. Returns its id.
    pub fn insert(
        &mut self,
        kind: Kind,
        digest: &Digest,
        user_name: Option<Datum>,
        last_activity: Timestamp,
    ) -> Result<i64, Error> {
        let id = sequence::next_value(self.ids);
        let mut values = vec![None; column::COUNT];
        *value_of(&mut values, column::ID) = Some(id.into());
        *value_of(&mut values, column::AT) = Some(timestamp_datum(clock::now()));
        *value_of(&mut values, column::DIGEST) = digest_datum(digest);
        *value_of(&mut values, column::USER_NAME) = user_name;
        *value_of(&mut values, column::KIND) = kind.as_str().into_datum();
        *value_of(&mut values, column::LAST_ACTIVITY) = Some(timestamp_datum(last_activity));
        self.writer.insert(values)?;
        Ok(id)
    }
}

/// What [`delete_oldest`] did.
pub struct Deleted {
    /// How many events it deleted.
    pub count: usize,
    /// The id of the first event that it left, or one more than the last id: where to continue.
    pub next: i64,
    /// The time of that event; `None` if it left none.
    pub oldest_left: Option<Timestamp>,
}

/// Deletes at most `most` events that are older than `oldest_kept`, the oldest first, except those that others have locked.
/// Looks at ids from `from` on: ids grow with time but for moments, and a caller that continues where it ended does not pass
/// again over deleted events that an old snapshot keeps. An event of a clock that was ahead would keep those after it from
/// being found: its time is set to now.
pub fn delete_oldest(events: TableRef, from: i64, oldest_kept: Timestamp, most: usize) -> Result<Deleted, Error> {
    let nothing = Deleted {
        count: 0,
        next: from,
        // There may be an old one.
        oldest_left: Some(oldest_kept),
    };
    let Some(mut writer) = Writer::try_open(events) else {
        return Ok(nothing);
    };
    let key = writer.table().primary_key_on(column::ID);
    if key == Oid::INVALID {
        // Somebody has dropped it, and there is no order without it.
        return Ok(nothing);
    }
    let snapshot = LatestSnapshot::take(writer.table());
    let now = clock::now();
    let (mut next, mut oldest_left) = (from, None);
    let (mut old, mut in_future) = (Vec::new(), Vec::new());
    scan::rows_in_order(writer.table(), &snapshot, key, from, |event| {
        let id = event.column(column::ID).map_or(next, |id| id.value() as i64);
        let at = event.column(column::AT).map(timestamp_of);
        let which = match at {
            Some(at) if at < oldest_kept => &mut old,
            Some(at) if at > now => &mut in_future,
            _ => {
                (next, oldest_left) = (id, at);
                return ControlFlow::Break(());
            }
        };
        if which.len() == most {
            (next, oldest_left) = (id, at);
            return ControlFlow::Break(());
        }
        which.push(event.tid());
        next = id.saturating_add(1);
        ControlFlow::Continue(())
    });
    for tid in in_future {
        if let LockOutcome::Locked(event) = writer.lock(tid, &snapshot, LockMode::NoKeyUpdate, LockWait::Skip)? {
            writer.update(&event, |values| {
                *value_of(values, column::AT) = Some(timestamp_datum(now))
            })?;
        }
    }
    let mut count = 0;
    for tid in old {
        if let LockOutcome::Locked(event) = writer.lock(tid, &snapshot, LockMode::Update, LockWait::Skip)? {
            writer.delete(&event)?;
            count += 1;
        }
    }
    Ok(Deleted {
        count,
        next,
        oldest_left,
    })
}
