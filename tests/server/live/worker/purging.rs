//! Sessions that nobody checks are purged when they have expired.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, new_sid, wait_until_flushed, wait_until_gone};

#[test]
fn a_session_that_only_polls_is_expired_by_the_worker() {
    for mode in ["skip_check", "no_refresh"] {
        let params = [
            (param::FLUSH_INTERVAL, "1"),
            (param::PURGE_INTERVAL, "1"),
            (param::DELAY, "1"),
            (param::IGNORED_URL_MODE, mode),
        ];
        let database = preloaded::database("polling", &params);
        let mut client = database.connect();
        let sid = new_sid();
        client.open(&sid);
        assert!(client.check(&sid));
        eventually("the polling session ends", SOON, || {
            !client.check_url(&sid, "/websocket")
        });
        wait_until_gone(&mut client, &sid);
        assert_eq!(client.event_kinds(&sid), ["idle_expired"], "{mode}");
    }
}

#[test]
fn a_shorter_purge_interval_counts_from_its_commit_on() {
    let database = preloaded::database("purge_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_shorter_flush_interval_counts_from_its_commit_on() {
    let database = preloaded::database("flush_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    database.set_params(&[(param::FLUSH_INTERVAL, "1")]);
    wait_until_flushed(&mut client, &sid, touched);
}
