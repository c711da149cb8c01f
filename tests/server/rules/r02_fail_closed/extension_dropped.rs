//! The extension is dropped and created while workers and checks are at work.

use std::time::Duration;

use session_timeout_tests::{error_of, stays};

use crate::support::preloaded::{self, QUICK, QUIET, install};
use crate::support::{SessionCalls, Swarm, expect, new_sid, open_expired, outcome, unique, wait_until_gone};

#[test]
fn a_recreated_extension_knows_no_session_of_the_old_one() {
    let database = preloaded::database("recreated", &QUICK);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..20).map(|_| new_sid()).collect();
    let check = other
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    for sid in &sids {
        admin.open(sid);
        assert!(other.query_one(&check, &[sid]).expect("a check").get::<_, bool>(0));
    }
    admin.run("DROP EXTENSION inactive_session_timeout");
    for sid in &sids {
        let error = error_of(other.query_one("SELECT session_timeout.check_session($1)", &[sid]));
        assert!(["3F000", "42883"].contains(&error.sqlstate.as_str()), "{error}");
    }
    admin.run(&install(&QUICK));
    for sid in &sids {
        assert!(!other.query_one(&check, &[sid]).expect("a check").get::<_, bool>(0));
        assert!(!admin.check(sid));
    }
    // And the worker serves the new one.
    let sid = new_sid();
    open_expired(&mut admin, &sid);
    assert!(!other.check(&sid));
    wait_until_gone(&mut admin, &sid);
    assert_eq!(admin.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn checks_during_recreations_validate_no_old_session() {
    let database = preloaded::database("recreated_swarm", &QUICK);
    let mut admin = database.connect();
    let round = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sid = unique("round");
    admin.open(&format!("{sid}-0"));
    let swarm = {
        let (sid, round) = (sid.clone(), round.clone());
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            // The session of the round before is a dropped table's.
            let now = round.load(std::sync::atomic::Ordering::SeqCst);
            if now == 0 {
                return Ok(());
            }
            let old = format!("{sid}-{}", now - 1);
            match crate::support::try_call(client, &format!("check_session('{old}')")) {
                Ok(valid) => expect(valid, false, "a session of the old extension"),
                Err(state) if ["3F000", "42883", "55000"].contains(&state.as_str()) => Ok(()),
                Err(state) => Err(format!("a check failed with {state}")),
            }
        })
    };
    for n in 1..=8 {
        admin.run("DROP EXTENSION inactive_session_timeout");
        round.store(n, std::sync::atomic::Ordering::SeqCst);
        admin.run(&install(&QUICK));
        let new = format!("{sid}-{n}");
        admin.open(&new);
        assert!(admin.check(&new));
        stays("no check lets the old ones in", Duration::from_millis(100), || {
            !swarm.has_failed()
        });
    }
    swarm.stop();
}

/// A check that was prepared, or has begun, outlives the extension that it is of.
#[test]
fn a_check_prepared_before_drop_extension_fails_or_says_false_after_it() {
    for (by_itself, recreated) in [(false, false), (false, true), (true, false), (true, true)] {
        let database = preloaded::database("prepared_drop", &QUIET);
        let (mut client, mut other) = (database.connect(), database.connect());
        let sid = new_sid();
        client.open(&sid);
        let check = client
            .prepare("SELECT session_timeout.check_session($1)")
            .expect("prepared");
        client.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        // Until its plan is kept.
        for _ in 0..10 {
            assert!(client.query_one(&check, &[&sid]).expect("a check").get::<_, bool>(0));
        }
        client.run(&format!(
            "DECLARE begun CURSOR FOR SELECT session_timeout.check_session('{sid}') FROM generate_series(1, 10)"
        ));
        assert!(client.value::<bool>("FETCH begun", &[]));
        // A cursor is something that DROP EXTENSION does not do beside.
        if by_itself {
            client.run("CLOSE begun");
        }
        let mut drop_it = String::from("DROP EXTENSION inactive_session_timeout CASCADE;");
        if recreated {
            drop_it += &install(&QUIET);
        }
        if by_itself { &mut client } else { &mut other }.run(&drop_it);
        if !by_itself {
            client.run("SAVEPOINT here");
            match outcome(client.query_one("FETCH begun", &[])) {
                Ok(row) => assert!(!row.get::<_, bool>(0), "a check that had begun, recreated: {recreated}"),
                Err(state) => {
                    assert!(["3F000", "42883", "55000"].contains(&state.as_str()), "{state}");
                    client.run("ROLLBACK TO here");
                }
            }
        }
        match outcome(client.query_one(&check, &[&sid])) {
            Ok(row) => assert!(!row.get::<_, bool>(0), "by itself: {by_itself}, recreated: {recreated}"),
            Err(state) => assert!(["3F000", "42883", "55000"].contains(&state.as_str()), "{state}"),
        }
        client.run("ROLLBACK");
        if by_itself {
            assert!(client.check(&sid), "nothing was dropped");
        }
    }
}
