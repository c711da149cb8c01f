//! Databases that fill the registry make room for others.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SOON, SessionCalls, figure, open_sessions, wait_until_gone};

#[test]
fn one_database_does_not_crowd_out_the_unwritten_activity_of_another() {
    let server = preloaded::small();
    let (modest, greedy) = (
        preloaded::database_on_small(&server, "modest", &QUIET),
        preloaded::database_on_small(&server, "greedy", &QUICK),
    );
    let mut client = modest.connect();
    let sids = open_sessions(&mut client, 20);
    let touched: Vec<_> = sids.iter().map(|sid| client.verdict(sid).last_activity).collect();
    let mut crowd = greedy.connect();
    for sid in open_sessions(&mut crowd, 500) {
        assert!(crowd.check(&sid));
    }
    for (sid, touched) in sids.iter().zip(touched) {
        assert_eq!(client.peek(sid).last_activity, touched);
    }
}

/// A database whose table is locked, so that nothing of the registry can be written to it.
fn locked(database: &Database) -> Client {
    let mut holder = database.connect();
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN SHARE MODE");
    holder
}

#[test]
fn a_database_whose_activity_cannot_be_written_makes_room_for_another() {
    let server = preloaded::small();
    let (modest, greedy) = (
        preloaded::database_on_small(&server, "modest", &QUIET),
        preloaded::database_on_small(&server, "greedy", &QUIET),
    );
    let (mut client, mut crowd) = (modest.connect(), greedy.connect());
    let many = open_sessions(&mut crowd, 400);
    let sids = open_sessions(&mut client, 20);
    let _holder = locked(&greedy);
    let before = figure(&mut crowd, "registry_full");
    for sid in &many {
        assert!(crowd.check(sid));
    }
    assert!(figure(&mut crowd, "registry_full") > before);
    for sid in &sids {
        let touched = client.verdict(sid).last_activity;
        assert_eq!(client.peek(sid).last_activity, touched, "its activity is recorded");
    }
    let lost = figure(&mut crowd, "lost_touches");
    for sid in &sids {
        assert!(client.check(sid));
    }
    assert_eq!(figure(&mut crowd, "lost_touches"), lost);
}

#[test]
fn expired_sessions_that_cannot_be_deleted_make_room_and_stay_expired() {
    let server = preloaded::small();
    let (modest, greedy) = (
        preloaded::database_on_small(&server, "modest", &QUIET),
        preloaded::database_on_small(&server, "greedy", &QUIET),
    );
    let (mut client, mut crowd) = (modest.connect(), greedy.connect());
    let many = open_sessions(&mut crowd, 200);
    crowd.run("UPDATE session_timeout.session SET last_activity = now() - interval '3 hours'");
    let sids = open_sessions(&mut client, 20);
    let mut holder = locked(&greedy);
    for sid in &many {
        assert_eq!(crowd.verdict(sid).status, "idle_expired");
    }
    for sid in &sids {
        let touched = client.verdict(sid).last_activity;
        assert_eq!(client.peek(sid).last_activity, touched, "its activity is recorded");
    }
    holder.run("ROLLBACK");
    crowd.set_param(param::DELAY, Some("10 days"));
    let mut again = greedy.connect();
    for sid in &many {
        assert!(!again.check(sid));
    }
    wait_until_gone(&mut crowd, &many[0]);
    eventually("each has its event", SOON, || {
        crowd.value::<i64>(
            "SELECT count(*) FROM session_timeout.session_event WHERE kind = 'idle_expired'",
            &[],
        ) == 200
    });
}
