//! Sessions that nobody checks are purged when they have expired.

use std::time::Duration;

use session_timeout_tests::{eventually, param, stays};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, new_sid, wait_for_passes, wait_until_flushed, wait_until_gone, wait_until_idle,
};

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
fn a_session_that_nobody_ever_checked_is_purged() {
    let database = preloaded::database("never_checked", &QUICK);
    let mut client = database.connect();
    let (sid, old, lasting) = (new_sid(), new_sid(), new_sid());
    client.open_limited(&sid, Some("300 ms"), None);
    client.open_limited(&old, None, Some("300 ms"));
    client.open(&lasting);
    wait_until_gone(&mut client, &sid);
    wait_until_gone(&mut client, &old);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
    assert_eq!(client.event_kinds(&old), ["absolute_expired"]);
    assert!(client.stored(&lasting).is_some());
}

#[test]
fn a_session_set_back_by_hand_and_never_checked_again_is_purged() {
    let database = preloaded::database("purge_set_back", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    client.has_been_idle(&sid, "3 hours");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_reopened_and_never_checked_again_is_purged() {
    let database = preloaded::database("purge_reopened", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    client.open_limited(&sid, Some("300 ms"), None);
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn activity_in_memory_keeps_the_purge_from_its_row() {
    // The row says all the time that it is past its own limit.
    let params = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1")];
    let database = preloaded::database("purge_active", &params);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("3 s"), None);
    stays("it is valid", Duration::from_secs(6), || client.check(&sid));
    assert_eq!(client.event_kinds(&sid), [""; 0]);
    let behind = client.peek(&sid).last_activity > client.stored(&sid).map(|row| row.last_activity);
    assert!(behind, "the row was written");
}

#[test]
fn a_locked_row_is_purged_when_it_is_free() {
    let database = preloaded::database("purge_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    wait_until_idle(&mut client, &sid);
    wait_for_passes(&mut client, 2);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
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
