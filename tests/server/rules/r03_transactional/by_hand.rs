//! Rows changed by hand count for a session that is in memory.

use std::thread;
use std::time::Duration;

use session_timeout_tests::Database;
use session_timeout_tests::chrono::{TimeDelta, Utc};
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SessionCalls, assert_about, new_sid, wait_for_passes};

/// A session that another connection has loaded into memory, and that connection.
fn loaded(database: &Database) -> (String, Client, Client) {
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    admin.open_as(&sid, "somebody");
    assert!(other.check(&sid));
    (sid, admin, other)
}

#[test]
fn a_clock_set_back_by_hand_counts_for_a_session_in_memory() {
    let database = preloaded::database("by_hand_back", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.has_been_idle(&sid, "1 hour");
    let idle = session_timeout_tests::chrono::Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert_about(Some(TimeDelta::hours(2) - idle), TimeDelta::hours(1));
    admin.has_been_idle(&sid, "3 hours");
    assert_eq!(other.verdict(&sid).status, "idle_expired");
}

#[test]
fn a_limit_set_by_hand_counts_for_a_session_in_memory() {
    let database = preloaded::database("by_hand_limit", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.was_opened_ago(&sid, "2 days");
    assert!(other.check(&sid));
    admin.write(
        "UPDATE session_timeout.session SET absolute_delay = '1 day' WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert_eq!(other.verdict(&sid).status, "absolute_expired");
}

#[test]
fn a_limit_set_by_hand_keeps_activity_that_is_not_written_yet() {
    let database = preloaded::database("by_hand_keeps", &QUIET);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let touched = other.verdict(&sid).last_activity;
    admin.write(
        "UPDATE session_timeout.session SET idle_delay = '1 hour' WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    let found = other.peek(&sid);
    assert_eq!((found.status.as_str(), found.last_activity), ("active", touched));
}

#[test]
fn a_row_deleted_by_hand_closes_a_session_in_memory() {
    let database = preloaded::database("by_hand_delete", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.write("DELETE FROM session_timeout.session WHERE user_name = 'somebody'", &[]);
    assert!(!other.check(&sid));
    assert_eq!(admin.event_kinds(&sid), ["closed"]);
}

#[test]
fn a_digest_changed_by_hand_moves_a_session_in_memory() {
    let database = preloaded::database("by_hand_digest", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    let new = new_sid();
    admin.write(
        "UPDATE session_timeout.session SET digest = session_timeout.session_digest($2) \
         WHERE digest = session_timeout.session_digest($1)",
        &[&sid, &new],
    );
    assert!(!other.check(&sid));
    assert!(other.check(&new));
}

/// The row does not know of activity that is only in memory: its value may be set again, to undo that.
#[test]
fn a_clock_set_by_hand_to_the_value_of_its_row_counts() {
    let database = preloaded::database("same_value", &QUIET);
    let mut client = database.connect();
    let set = [
        "UPDATE session_timeout.session SET last_activity = opened_at WHERE digest = session_timeout.session_digest($1)",
        "UPDATE session_timeout.session SET last_activity = last_activity WHERE digest = session_timeout.session_digest($1)",
        "INSERT INTO session_timeout.session AS s SELECT * FROM session_timeout.session \
         WHERE digest = session_timeout.session_digest($1) \
         ON CONFLICT (digest) DO UPDATE SET last_activity = EXCLUDED.last_activity",
    ];
    for sql in set {
        let sid = new_sid();
        client.open(&sid);
        let opened_at = client.peek(&sid).opened_at;
        assert!(
            client.verdict(&sid).last_activity > opened_at,
            "memory is ahead of the row"
        );
        client.write(sql, &[&sid]);
        assert_eq!(client.peek(&sid).last_activity, opened_at, "{sql}");
    }
    // One that names other columns keeps it.
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity;
    client.write(
        "UPDATE session_timeout.session SET user_name = 'renamed', idle_delay = '1 hour' \
         WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert_eq!(client.peek(&sid).last_activity, touched);
}

#[test]
fn a_clock_set_back_by_hand_is_not_undone_by_a_flush() {
    let database = preloaded::database("flush_set_back", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..200).map(|_| new_sid()).collect();
    for sid in &sids {
        client.open(sid);
        assert!(other.check(sid));
    }
    // In the midst of the flushes.
    for sid in &sids {
        assert!(other.check(sid));
        client.has_been_idle(sid, "1 hour");
        thread::sleep(Duration::from_millis(5));
    }
    wait_for_passes(&mut client, 2);
    for sid in &sids {
        let (peeked, row) = (client.peek(sid).last_activity, client.stored(sid).expect("a row"));
        assert!(Utc::now() - row.last_activity > TimeDelta::minutes(59));
        assert_eq!(peeked, Some(row.last_activity));
    }
}
