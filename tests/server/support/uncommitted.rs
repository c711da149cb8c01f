//! A transaction that has changed a session and not ended yet, and what others do to that session meanwhile.

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, param};

use super::{SessionCalls, new_sid, wait_until_flushed};

/// Changes a session's own limit by hand.
pub const SET_LIMIT: &str = "UPDATE session_timeout.session SET idle_delay = '5 hours' \
                             WHERE digest = session_timeout.session_digest($1)";

/// Three connections: one that changes, one that checks, one that administers.
pub fn three_connections(database: &Database) -> (Client, Client, Client) {
    (database.connect(), database.connect(), database.connect())
}

/// A session that has been idle for an hour and a half, all of which is in its row.
pub fn idle_for_a_while(client: &mut Client) -> String {
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "90 minutes");
    sid
}

/// Activity that a check has just made.
#[track_caller]
pub fn touch(client: &mut Client, sid: &str) -> Option<DateTime<Utc>> {
    let verdict = client.verdict(sid);
    assert_eq!(verdict.status, "active");
    verdict.last_activity
}

/// Asserts that this activity is in memory.
#[track_caller]
pub fn assert_known(client: &mut Client, sid: &str, touched: Option<DateTime<Utc>>) {
    assert!(touched.is_some());
    assert_eq!(client.peek(sid).last_activity, touched);
}

/// Asserts that this activity is in memory, and waits until it is in the row.
#[track_caller]
pub fn assert_flushed(client: &mut Client, sid: &str, touched: Option<DateTime<Utc>>) {
    assert_known(client, sid, touched);
    client.set_param(param::FLUSH_INTERVAL, Some("1"));
    wait_until_flushed(client, sid, touched.expect("an activity"));
}

/// Sends a notice, and writes something, without which no commit waits.
pub const NOTE: &str = "SELECT pg_notify('anything', ''), session_timeout.set_param('note', $1)";
