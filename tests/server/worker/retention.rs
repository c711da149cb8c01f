//! Events are deleted when they are older than their retention.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SOON, SessionCalls, new_sid, open_expired, wait_for_passes, wait_until_gone};

#[test]
fn events_are_deleted_when_they_are_older_than_the_retention() {
    let database = preloaded::database("retention", &QUICK);
    let mut client = database.connect();
    client.run(
        "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity) \
         SELECT clock_timestamp() - age, sha256(age::text::bytea), 'closed', now() \
         FROM unnest('{40 days, 31 days, 29 days, 1 day}'::interval[]) AS age",
    );
    eventually("old events are deleted", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) <= 2
    });
    wait_for_passes(&mut client, 1);
    let kept: i64 = client.value(
        "SELECT count(*) FROM session_timeout.session_event WHERE at > now() - interval '30 days'",
        &[],
    );
    assert_eq!(kept, 2);
}

#[test]
fn with_no_retention_no_event_is_kept() {
    let database = preloaded::database("no_retention", &QUICK);
    let mut client = database.connect();
    let (before, after) = (new_sid(), new_sid());
    client.open(&before);
    client.close_sid(&before);
    assert_eq!(client.event_kinds(&before), ["closed"]);
    client.set_param(param::EVENT_RETENTION, Some("0"));
    open_expired(&mut client, &after);
    assert!(!client.check(&after));
    wait_until_gone(&mut client, &after);
    assert_eq!(client.event_kinds(&after), [""; 0]);
    eventually("the old event is deleted", SOON, || {
        client.event_kinds(&before).is_empty()
    });
}
