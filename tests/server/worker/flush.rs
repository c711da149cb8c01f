//! Activity is written to the rows.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SOON, SessionCalls, new_sid, wait_until_flushed};

#[test]
fn activity_is_written_without_a_primary_key() {
    let database = preloaded::database("flush_no_key", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
}

#[test]
fn flush_sessions_writes_activity_down_and_says_how_many() {
    let database = preloaded::database("flush_by_hand", &QUIET);
    let mut client = database.connect();
    let (sid, idle) = (new_sid(), new_sid());
    client.open(&sid);
    client.open(&idle);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 1);
    assert_eq!(client.stored(&sid).expect("a row").last_activity, touched);
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 0);
}

/// After a tenth of 20 s, while the others wait for the flush interval.
#[test]
fn a_session_with_a_short_idle_delay_is_flushed_before_the_others() {
    let params = [(param::FLUSH_INTERVAL, "60"), (param::PURGE_INTERVAL, "1 day")];
    let database = preloaded::database("flush_early", &params);
    let mut client = database.connect();
    let (short, other) = (new_sid(), new_sid());
    client.open(&other);
    client.run(&format!("SELECT session_timeout.open_session('{short}', NULL, '20 s')"));
    let touched = client.verdict(&other).last_activity.expect("an activity");
    let early = client.verdict(&short).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &short, early);
    assert!(client.stored(&other).expect("a row").last_activity < touched);
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 1);
}

/// What the worker writes: for each session whether its row has its last activity, and the events.
fn written_by_worker(lock_first: &str) -> (Vec<bool>, Vec<(String, String)>) {
    const SESSIONS: usize = 120;
    let server = preloaded::builder()
        .setting("session_timeout.debug_lock_before_update", lock_first)
        .start();
    let database = preloaded::database_on(&server, "both_ways", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..SESSIONS).map(|n| format!("sid {n}")).collect();
    for (n, sid) in sids.iter().enumerate() {
        client.open_as(sid, &format!("user {n}"));
    }
    // One row is only referred to, as a foreign key would: both ways write it.
    other.run(&format!(
        "BEGIN; SELECT FROM session_timeout.session \
         WHERE digest = session_timeout.session_digest('{}') FOR KEY SHARE",
        sids[0]
    ));
    let mut last = Vec::new();
    for sid in &sids {
        last.push(client.verdict(sid).last_activity.expect("an activity"));
    }
    for (sid, activity) in sids.iter().zip(&last) {
        wait_until_flushed(&mut client, sid, *activity);
    }
    other.run("COMMIT");
    for sid in &sids[SESSIONS / 2..] {
        client.has_been_idle(sid, "3 hours");
    }
    let left = "SELECT count(*) FROM session_timeout.session";
    eventually("the idle ones are purged", SOON, || {
        client.value::<i64>(left, &[]) == SESSIONS as i64 / 2
    });
    let kept = sids[..SESSIONS / 2].iter().zip(&last);
    let rows = kept
        .map(|(sid, activity)| client.stored(sid).expect("a row").last_activity == *activity)
        .collect();
    let events = client
        .query(
            "SELECT user_name, kind FROM session_timeout.session_event ORDER BY user_name",
            &[],
        )
        .expect("the events")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    (rows, events)
}

/// On a server with assertions both ways are the one with a lock.
#[test]
fn locking_rows_before_their_update_leaves_the_same_rows_and_events() {
    let (rows, events) = written_by_worker("off");
    assert!(rows.iter().all(|has_activity| *has_activity));
    assert_eq!(events.len(), 60);
    assert_eq!((rows, events), written_by_worker("on"));
}
