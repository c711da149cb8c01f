//! A primary and its standby.

use session_timeout_tests::{Server, eventually};

use super::{SOON, SessionCalls};

/// Waits until the standby has replayed all that the primary has committed.
#[track_caller]
pub fn catch_up(primary: &Server, standby: &Server) {
    let end: String = primary.connect().value("SELECT pg_current_wal_lsn()::text", &[]);
    let mut client = standby.connect();
    eventually("the standby catches up", SOON, || {
        client.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&end])
    });
}
