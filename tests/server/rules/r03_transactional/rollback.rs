//! A session's own transaction sees a change at once, others at its commit; a rollback leaves the session as it was.

use std::sync::{Arc, Mutex};

use session_timeout_tests::chrono::TimeDelta;

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{ISOLATION_LEVELS, SessionCalls, Swarm, begin, expect, new_sid};

#[test]
fn an_open_that_is_rolled_back_was_never_valid_for_others() {
    let database = preloaded::database("open_rollback", &QUICK);
    let sids: Arc<Mutex<String>> = Arc::new(Mutex::new(new_sid()));
    let swarm = {
        let sids = sids.clone();
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            let sid = sids.lock().expect("no panic holds it").clone();
            expect(client.check(&sid), false, "a session that was never committed")
        })
    };
    let mut client = database.connect();
    for round in 0..300 {
        let sid = new_sid();
        sids.lock().expect("no panic holds it").clone_from(&sid);
        client.run(&format!(
            "BEGIN ISOLATION LEVEL {}",
            ISOLATION_LEVELS[round % ISOLATION_LEVELS.len()]
        ));
        client.open(&sid);
        assert!(client.check(&sid));
        assert!(client.check(&sid));
        client.run("ROLLBACK");
        assert!(!client.check(&sid));
    }
    swarm.stop();
}

#[test]
fn an_open_counts_for_others_from_its_commit_on() {
    let database = preloaded::database("open_commit", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    for level in ISOLATION_LEVELS {
        let sid = new_sid();
        begin(&mut other, level);
        client.run("BEGIN");
        client.open(&sid);
        assert!(client.check(&sid), "{level}");
        assert!(!other.check(&sid), "{level}");
        client.run("COMMIT");
        assert!(other.check(&sid), "{level}");
        other.run("COMMIT");
    }
}

#[test]
fn a_close_rolled_back_to_a_savepoint_is_undone() {
    let database = preloaded::database("savepoint", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    for was_open in [false, true] {
        let sid = new_sid();
        if was_open {
            client.open(&sid);
            assert!(other.check(&sid));
        }
        client.run("BEGIN");
        client.open(&sid);
        client.run("SAVEPOINT here");
        assert!(client.close_sid(&sid));
        assert!(!client.check(&sid));
        client.run("ROLLBACK TO SAVEPOINT here");
        assert!(client.check(&sid));
        client.run("COMMIT");
        assert!(client.check(&sid));
        assert!(other.check(&sid));
    }
}

#[test]
fn a_rollback_of_a_close_leaves_the_session_and_its_activity() {
    let database = preloaded::database("close_rollback", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    let touched = other.verdict(&sid).last_activity;
    client.run("BEGIN");
    assert!(client.close_sid(&sid));
    client.run("ROLLBACK");
    assert_eq!(other.peek(&sid).last_activity, touched);
    assert!(other.check(&sid));
}

#[test]
fn the_caller_sees_its_own_close_at_once_and_others_at_its_commit() {
    let database = preloaded::database("own_close", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    assert!(other.check(&sid));
    client.run("BEGIN");
    assert!(client.close_sid(&sid));
    assert_eq!(client.verdict(&sid).status, "closed");
    assert_eq!(other.verdict(&sid).status, "active");
    client.run("COMMIT");
    for client in [&mut client, &mut other] {
        let verdict = client.verdict(&sid);
        assert!(!verdict.valid);
        assert!(["closed", "unknown"].contains(&verdict.status.as_str()), "{verdict:?}");
    }
}

#[test]
fn a_touch_in_the_transaction_that_opened_counts_after_its_commit() {
    let database = preloaded::database("touch_of_own", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    assert!(other.check(&sid));
    client.run("BEGIN");
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    assert!(client.check(&sid));
    client.run("COMMIT");
    let idle = session_timeout_tests::chrono::Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert!(idle < TimeDelta::minutes(1), "{idle}");
}

#[test]
fn more_changes_than_the_transaction_lists_all_count() {
    let database = preloaded::database("by_hand_many", &QUIET);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..600).map(|_| new_sid()).collect();
    admin.run("BEGIN");
    for sid in &sids {
        admin.open_as(sid, "many");
    }
    admin.run("COMMIT");
    for sid in &sids {
        assert!(other.check(sid));
    }
    assert_eq!(admin.close_user("many"), 600);
    for sid in &sids {
        assert!(!other.check(sid));
    }
}
