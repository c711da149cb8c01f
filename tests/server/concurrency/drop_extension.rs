//! DROP EXTENSION and CREATE EXTENSION while others are connected and at work.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::shared;

use crate::support::{InFlight, SessionCalls, all_at_once, outcome, try_call};

const DROP: &str = "DROP EXTENSION inactive_session_timeout";
const CREATE: &str = "CREATE EXTENSION inactive_session_timeout";

/// What a call may be refused with where the extension is not there: no such schema, function or table, and not
/// installed.
const GONE: [&str; 4] = ["3F000", "42883", "42P01", "55000"];

#[test]
fn checks_that_race_with_a_drop_fail_cleanly_and_say_true_no_more() {
    let database = shared().database("dropped");
    database.connect().open("sid");
    let dropped = Arc::new(AtomicBool::new(false));
    let clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    let refusals = all_at_once(clients, move |client, n| {
        if n == 0 {
            for _ in 0..20 {
                assert!(client.check("sid"));
            }
            client.run(DROP);
            dropped.store(true, Ordering::SeqCst);
            return BTreeSet::new();
        }
        let mut refusals = BTreeSet::new();
        loop {
            let last = dropped.load(Ordering::SeqCst);
            match try_call(client, "check_session('sid')") {
                Ok(valid) => assert!(!(valid && last), "a check said true after the drop"),
                Err(sqlstate) => {
                    refusals.insert(sqlstate);
                }
            }
            if last {
                return refusals;
            }
        }
    });
    let unclean: Vec<_> = refusals
        .iter()
        .flatten()
        .filter(|sqlstate| !GONE.contains(&sqlstate.as_str()))
        .collect();
    assert!(unclean.is_empty(), "{unclean:?}");
}

#[test]
fn a_drop_waits_for_a_session_change_in_flight() {
    let database = shared().database("dropped");
    let (mut opener, dropper, mut observer) = (database.connect(), database.connect(), database.connect());
    opener.run("BEGIN");
    opener.open("sid");
    let dropping = InFlight::start(dropper, |dropper| dropper.run(DROP));
    dropping.is_waiting(&mut observer);
    opener.run("COMMIT");
    dropping.answer();
}

/// A call that waits for a DROP EXTENSION in flight, which then commits: what it ends with.
fn call_during_drop(call: &'static str) -> Result<bool, String> {
    let database = shared().database("dropped");
    let (mut dropper, mut caller, mut observer) = (database.connect(), database.connect(), database.connect());
    caller.open("sid");
    assert!(caller.check("sid"));
    dropper.run(&format!("BEGIN; {DROP}"));
    let calling = InFlight::start(caller, move |caller| {
        outcome(caller.query_one(&format!("SELECT session_timeout.{call} IS NOT DISTINCT FROM true"), &[]))
            .map(|row| row.get(0))
    });
    calling.is_waiting(&mut observer);
    dropper.run("COMMIT");
    calling.answer()
}

#[test]
fn a_check_that_a_drop_overtakes_is_not_valid() {
    let answer = call_during_drop("check_session('sid')");
    assert!(
        answer
            .as_ref()
            .map_or_else(|sqlstate| GONE.contains(&sqlstate.as_str()), |valid| !valid),
        "{answer:?}"
    );
}

#[test]
fn a_change_that_a_drop_overtakes_fails_cleanly() {
    for call in [
        "close_session('sid')",
        "rotate_session('sid', 'new')",
        "set_param('key', 'value') IS NULL",
    ] {
        let answer = call_during_drop(call);
        let is_clean = answer.as_ref().is_err_and(|sqlstate| GONE.contains(&sqlstate.as_str()));
        assert!(is_clean, "{call}: {answer:?}");
    }
}

#[test]
fn a_drop_rolled_back_leaves_everything_as_it_was() {
    let database = shared().database("dropped");
    let (mut dropper, mut other) = (database.connect(), database.connect());
    other.open("sid");
    dropper.run("BEGIN");
    assert!(dropper.check("sid"));
    dropper.run(&format!("{DROP}; ROLLBACK"));
    assert!(dropper.check("sid"));
    assert!(other.check("sid"));
}

#[test]
fn a_recreated_extension_serves_old_connections() {
    let database = shared().database("dropped");
    let mut administrator = database.connect();
    let mut knowing = database.connect();
    knowing.open("sid");
    assert!(knowing.check("sid"));
    administrator.run(&format!("{DROP}; {CREATE}"));
    knowing.open("new");
    assert!(knowing.check("new"));
    assert!(knowing.close_sid("new"));
    assert_eq!(knowing.event_kinds("new"), ["closed"]);
}

#[test]
fn a_recreated_extension_has_no_session_of_the_old_one() {
    let database = shared().database("dropped");
    let mut administrator = database.connect();
    let mut knowing = database.connect();
    knowing.open("sid");
    assert!(knowing.check("sid"));
    administrator.run(&format!("{DROP}; {CREATE}"));
    assert!(!knowing.check("sid"));
    assert!(!knowing.close_sid("sid"));
    assert!(!knowing.rotate("sid", "new"));
}

#[test]
fn a_recreated_extension_has_default_parameters_for_old_connections() {
    let database = shared().database("dropped");
    let mut administrator = database.connect();
    let mut knowing = database.connect();
    administrator.set_param("inactive_session_time_out_ignored_url", Some("/old"));
    knowing.open("sid");
    assert_eq!(knowing.verdict_url("sid", "/old").status, "ignored");
    administrator.run(&format!("{DROP}; {CREATE}"));
    knowing.open("sid");
    assert_eq!(knowing.verdict_url("sid", "/old").status, "active");
    assert_eq!(knowing.verdict_url("sid", "/websocket").status, "ignored");
}

#[test]
fn an_extension_recreated_many_times_serves_connections_at_work() {
    const TIMES: usize = 12;
    let database = shared().database("dropped");
    let times = Arc::new(AtomicUsize::new(0));
    let clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    all_at_once(clients, move |client, n| {
        if n == 0 {
            for time in 1..=TIMES {
                client.run(&format!(
                    "{DROP}; {CREATE}; SELECT session_timeout.open_session('sid-{time}')"
                ));
                times.store(time, Ordering::SeqCst);
                for _ in 0..5 {
                    assert!(client.check(&format!("sid-{time}")));
                }
            }
            return;
        }
        loop {
            let time = times.load(Ordering::SeqCst);
            let valid = time > 0 && try_call(client, &format!("check_session('sid-{time}')")) == Ok(true);
            assert!(time == 0 || valid || times.load(Ordering::SeqCst) == time || time < TIMES);
            if time > 0 {
                let before = try_call(client, &format!("check_session('sid-{}')", time - 1));
                assert_ne!(before, Ok(true), "a session of an extension that was dropped");
            }
            if time == TIMES {
                assert!(valid, "the last extension serves this connection");
                return;
            }
        }
    });
}
