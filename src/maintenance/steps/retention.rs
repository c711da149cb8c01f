//! Deletes events that are older than the retention.
//!
//! It continues at the event at which it ended last, so that it does not pass again over deleted events that somebody's old
//! snapshot keeps. Once an hour it begins at the first event again: for events that were locked, or that a long transaction
//! has written under an id that had been passed.

use std::sync::atomic::Ordering::Relaxed;

use session_timeout_core::time::Timestamp;

use super::super::context::{Ended, PassContext};
use super::BATCH;
use crate::error::Error;
use crate::pg::clock;
use crate::rows::session_event;
use crate::shared::schedule::is_ahead;

/// How often it begins at the first event, in microseconds.
const RESTART: i64 = 3_600_000_000;

/// What the step has done.
pub struct Retained {
    pub ended: Ended,
    /// When the next event is to be deleted: the oldest that was kept, or one that is written now.
    pub next_due: Timestamp,
}

/// Runs the step.
pub fn run(pass: &PassContext) -> Result<Retained, Error> {
    let retention = pass.params.event_retention.unwrap_or_default();
    let database = pass.database;
    let (now, began) = (clock::now().micros(), database.retention_began.load(Relaxed));
    if now >= began.saturating_add(RESTART) || is_ahead(began, now) {
        database.retention_began.store(now, Relaxed);
        database.retention_from.store(i64::MIN, Relaxed);
    }
    loop {
        let from = database.retention_from.load(Relaxed);
        let deleted = pass.in_transaction(|| {
            let oldest_kept = clock::now().saturating_add(-retention);
            session_event::delete_oldest(pass.session.objects.session_event, from, oldest_kept, BATCH)
        })?;
        database.retention_from.store(deleted.next, Relaxed);
        let next_due = deleted.oldest_left.unwrap_or_else(clock::now).saturating_add(retention);
        let ended = match deleted.count {
            BATCH if pass.is_over() => Ended::More,
            BATCH => continue,
            _ => Ended::Done,
        };
        return Ok(Retained { ended, next_due });
    }
}
