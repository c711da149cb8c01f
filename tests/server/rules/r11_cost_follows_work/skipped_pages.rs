//! The purge skips pages on which nothing can have expired, and misses no change that nobody has checked since.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::QUICK;
use crate::support::{SOON, SessionCalls, new_sid, preloaded, wait_until_flushed, wait_until_gone};

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
fn a_session_with_a_re_login_and_never_checked_again_is_purged() {
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

/// The registry knows the login before, and nobody has checked the new one.
#[test]
fn a_session_changed_and_never_checked_since_is_purged() {
    let server = preloaded::builder().start();
    let database = server.database("again");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    for sid in ["again", "changed"] {
        client.open(sid);
        assert!(client.check(sid));
        let activity = client.peek(sid).last_activity.expect("activity");
        eventually("its activity is written down", SOON, || {
            client.stored(sid).is_some_and(|row| row.last_activity >= activity)
        });
    }
    client.open_limited("again", Some("1 second"), None);
    client.has_been_idle("changed", "3 hours");
    for sid in ["again", "changed"] {
        eventually("it is purged", SOON, || client.event_kinds(sid) == ["idle_expired"]);
        assert_eq!(client.stored(sid), None);
    }
}
