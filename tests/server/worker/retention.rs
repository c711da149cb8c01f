//! Events are deleted when they are older than their retention.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, and};
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
    // Events written by hand are looked at once an hour, unless there is something else to do.
    wait_for_passes(&mut client, 1);
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
fn the_next_purge_is_when_the_oldest_event_passes_its_retention() {
    let database = preloaded::database("retention_due", &and(QUICK, (param::EVENT_RETENTION, "20 seconds")));
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.close_sid(&sid);
    let sql = "SELECT next_purge BETWEEN at + interval '19 seconds' AND at + interval '21 seconds' \
               FROM session_timeout.stat_worker, session_timeout.session_event WHERE datname = current_database()";
    eventually("a purge is planned", SOON, || client.value(sql, &[]));
    eventually("the event is deleted", SOON, || client.event_kinds(&sid).is_empty());
}

/// What ends a session reports no page that must be read.
#[test]
fn an_event_after_a_purge_that_left_none_is_deleted_in_time() {
    let database = preloaded::database("retention_late", &and(QUICK, (param::EVENT_RETENTION, "5 seconds")));
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let sql = "SELECT next_purge > clock_timestamp() + interval '2 seconds' FROM session_timeout.stat_worker \
               WHERE datname = current_database()";
    eventually("nothing but an event can be due", SOON, || client.value(sql, &[]));
    client.close_sid(&sid);
    assert_eq!(client.event_kinds(&sid), ["closed"]);
    eventually("the event is deleted", SOON, || client.event_kinds(&sid).is_empty());
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
