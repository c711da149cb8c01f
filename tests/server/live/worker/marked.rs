//! Sessions that a check has found expired.

use std::time::Duration;

use session_timeout_tests::{eventually, next_notification, notifications, serde_json};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, hex_digest, listener, new_sid};

#[test]
fn a_session_found_expired_is_deleted_with_one_event_and_one_notice() {
    let database = preloaded::database("marked", &QUIET);
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
