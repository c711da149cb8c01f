//! Sessions that a check has found expired.

use std::thread;
use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, next_notification, notifications, serde_json};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, hex_digest, listener, new_sid, open_expired, wait_for_passes, wait_until_gone, worker_figure,
};

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

#[test]
fn a_marked_session_that_others_hold_is_ended_when_they_let_go() {
    let database = preloaded::database("marked_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let (held, free) = (new_sid(), new_sid());
    for sid in [&held, &free] {
        open_expired(&mut client, sid);
    }
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    for sid in [&held, &free] {
        assert!(!client.check(sid));
    }
    wait_until_gone(&mut client, &free);
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&held).is_some());
    assert_eq!(worker_figure(&mut client, "failures"), 0);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &held);
    assert_eq!(client.event_kinds(&held), ["idle_expired"]);
}

#[test]
fn a_marked_session_that_others_held_does_not_wait_for_the_next_purge() {
    let database = preloaded::database("marked_held", &QUIET);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    assert!(!client.check(&sid));
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_locked_table_is_left_for_next_time() {
    let database = preloaded::database("table_locked", &QUICK);
    let (mut client, mut holder, mut monitor) = (database.connect(), database.connect(), preloaded::server().connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN ACCESS EXCLUSIVE MODE");
    // It has not waited: its passes go on, and none fails.
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'session_timeout.session'::regclass";
    let pass = "SELECT last_pass, failures FROM session_timeout.stat_worker WHERE datname = current_database()";
    let look = |client: &mut Client| {
        let row = client.query_one(pass, &[]).expect("the worker's figures");
        (row.get::<_, DateTime<Utc>>(0), row.get::<_, i64>(1))
    };
    for _ in 0..2 {
        let before = look(&mut client).0;
        eventually("another pass", SOON, || look(&mut client).0 > before);
    }
    assert_eq!(look(&mut client).1, 0);
    assert_eq!(client.value::<i64>(sql, &[]), 0);
    assert_eq!(monitor.value::<i32>("SELECT 1", &[]), 1);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn reopened_while_the_worker_deletes_the_old_session_the_new_one_lives() {
    const SESSIONS: usize = 120;
    const ROUNDS: usize = 5;
    let database = preloaded::database("reopened", &QUICK);
    let mut admin = database.connect();
    let sids: Vec<String> = (0..SESSIONS).map(|_| new_sid()).collect();
    for sid in &sids {
        admin.open(sid);
    }
    for _ in 0..ROUNDS {
        admin.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
        let reopen = |sids: Vec<String>| {
            let mut client = database.connect();
            thread::spawn(move || {
                for sid in &sids {
                    assert!(!client.check(sid), "an expired session");
                }
                // Spread over the time in which the worker comes.
                for sid in &sids {
                    client.open(sid);
                    assert!(client.check(sid), "a session opened anew");
                    thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let threads: Vec<_> = sids.chunks(SESSIONS / 2).map(|half| reopen(half.to_vec())).collect();
        for thread in threads {
            thread.join().expect("no session is lost");
        }
    }
    wait_for_passes(&mut admin, 2);
    for sid in &sids {
        assert!(admin.check(sid));
        assert_eq!(admin.event_kinds(sid), ["idle_expired"; ROUNDS]);
    }
}
