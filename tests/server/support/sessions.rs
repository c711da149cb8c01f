//! Sessions in a certain state, one or many.

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::eventually;
use session_timeout_tests::postgres::Client;

use super::calls::SessionCalls;
use super::in_flight::SOON;

/// Opens a session and sets its clock back by hand, so that it is past the default delay and nobody knows.
#[track_caller]
pub fn open_expired(client: &mut Client, sid: &str) {
    client.open(sid);
    client.has_been_idle(sid, "3 hours");
}

/// Waits until the session is past its idle limit, without a check of it.
#[track_caller]
pub fn wait_until_idle(client: &mut Client, sid: &str) {
    eventually("the session is past its limit", SOON, || {
        client.peek(sid).status == "idle_expired"
    });
}

/// Opens sessions `{prefix}-1` to `{prefix}-{count}` by INSERT.
pub fn open_many(client: &mut Client, prefix: &str, count: usize) {
    let opened = client.write(
        "INSERT INTO session_timeout.session (digest, opened_at, last_activity) \
         SELECT session_timeout.session_digest($1 || '-' || n), clock_timestamp(), clock_timestamp() \
         FROM generate_series(1, $2::bigint) AS n",
        &[&prefix, &(count as i64)],
    );
    assert_eq!(opened, count as u64);
}

/// Checks them all: how many are valid.
pub fn check_many(client: &mut Client, prefix: &str, count: usize) -> i64 {
    client.value(
        "SELECT count(*) FROM generate_series(1, $2::bigint) AS n \
         WHERE session_timeout.check_session($1 || '-' || n)",
        &[&prefix, &(count as i64)],
    )
}

/// So long ago.
pub fn ago(seconds: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::seconds(seconds)
}
