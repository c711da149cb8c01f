//! Deletes events that are older than the retention.

use super::super::context::{Ended, PassContext};
use super::BATCH;
use crate::error::Error;
use crate::pg::clock;
use crate::rows::session_event;

/// Runs the step.
pub fn run(pass: &PassContext) -> Result<Ended, Error> {
    let retention = pass.params.event_retention.unwrap_or_default();
    loop {
        let deleted = pass.in_transaction(|| {
            let oldest_kept = clock::now().saturating_add(-retention);
            session_event::delete_oldest(pass.session.objects.session_event, oldest_kept, BATCH)
        })?;
        if deleted < BATCH {
            return Ok(Ended::Done);
        }
        if pass.is_over() {
            return Ok(Ended::More);
        }
    }
}
