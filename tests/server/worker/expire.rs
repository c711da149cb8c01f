//! Expired sessions are deleted, by the worker or by `purge_sessions()`, with an event and a notice.

use std::time::{Duration, Instant};

use session_timeout_tests::{eventually, next_notification, notifications, param, serde_json};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, hex_digest, listener, new_sid, wait_until_gone, wait_until_idle};

#[test]
fn a_session_found_expired_is_deleted_with_one_event_and_one_notice() {
    let database = preloaded::database("expired", &QUIET);
    let mut ears = listener(&database);
    let mut client = database.connect();
    for (idle, absolute, kind) in [
        (Some("300 ms"), None, "idle_expired"),
        (None, Some("300 ms"), "absolute_expired"),
    ] {
        let sid = new_sid();
        client.write(
            "SELECT session_timeout.open_session($1, 'somebody', $2::text::interval, $3::text::interval)",
            &[&sid, &idle, &absolute],
        );
        let opened = client.stored(&sid).expect("a row").last_activity;
        let newest = client.verdict(&sid).last_activity.expect("an activity");
        assert!(newest > opened, "activity that no row knows yet");
        eventually("the session is past its limit", SOON, || {
            client.peek(&sid).status == kind
        });
        assert_eq!(client.verdict(&sid).status, kind);
        eventually("its row is deleted", SOON, || client.stored(&sid).is_none());
        let notice = next_notification(&mut ears, SOON).expect("a notice");
        let events = client.events(&sid);
        let [event] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(
            (event.kind.as_str(), event.user_name.as_deref(), event.last_activity),
            (kind, Some("somebody"), newest)
        );
        let notice: serde_json::Value = serde_json::from_str(notice.payload()).expect("JSON");
        let expected = serde_json::json!({
            "kind": kind, "events": [event.id, event.id], "digests": [hex_digest(&sid)],
        });
        assert_eq!(notice, expected);
    }
    let more = notifications(&mut ears, Duration::from_millis(1500));
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn the_worker_expires_a_session_that_only_polls() {
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
fn purge_sessions_ends_what_is_expired_in_memory_and_spares_the_rest() {
    let database = preloaded::database("purge_by_hand", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let (idle, busy) = (new_sid(), new_sid());
    client.open_limited(&idle, Some("200 ms"), None);
    client.open_limited(&busy, Some("3 s"), None);
    wait_until_idle(&mut client, &idle);
    // Only memory knows that it is in use.
    let until = Instant::now() + Duration::from_millis(3200);
    while Instant::now() < until {
        assert!(other.check(&busy));
    }
    assert_eq!(client.purge(), 1);
    assert!(!client.check(&idle));
    assert!(other.check(&busy));
    eventually("its event is there", SOON, || {
        client.event_kinds(&idle) == ["idle_expired"]
    });
}
