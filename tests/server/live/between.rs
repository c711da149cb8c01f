//! What others do to a session between a transaction's change of it and that transaction's end: activity and expiry are
//! theirs, and are not lost with a version, a savepoint or a rollback.

use std::thread;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{
    SOON, SessionCalls, new_sid, open_expired, wait_for_passes, wait_until_flushed, wait_until_gone, wait_until_idle,
};

const SET_LIMIT: &str = "UPDATE session_timeout.session SET idle_delay = '5 hours' \
                         WHERE digest = session_timeout.session_digest($1)";

/// Three connections: one that changes, one that checks, one that administers.
fn three(database: &Database) -> (Client, Client, Client) {
    (database.connect(), database.connect(), database.connect())
}

/// A session that has been idle for an hour and a half, all of which is in its row.
fn idle_for_a_while(client: &mut Client) -> String {
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "90 minutes");
    sid
}

/// Activity that a check has just made.
#[track_caller]
fn touch(client: &mut Client, sid: &str) -> Option<DateTime<Utc>> {
    let verdict = client.verdict(sid);
    assert_eq!(verdict.status, "active");
    verdict.last_activity
}

#[track_caller]
fn is_known(client: &mut Client, sid: &str, touched: Option<DateTime<Utc>>) {
    assert!(touched.is_some());
    assert_eq!(client.peek(sid).last_activity, touched);
}

#[track_caller]
fn is_flushed(client: &mut Client, sid: &str, touched: Option<DateTime<Utc>>) {
    is_known(client, sid, touched);
    client.set_param(param::FLUSH_INTERVAL, Some("1"));
    wait_until_flushed(client, sid, touched.expect("an activity"));
}

// ---- Expiry ----------------------------------------------------------------------------------------------------------

#[test]
fn an_expiry_found_before_a_change_of_limits_is_committed_stays() {
    let database = preloaded::database("limits_expiry", &QUIET);
    let (mut changer, mut other, mut admin) = three(&database);
    let sid = new_sid();
    open_expired(&mut changer, &sid);
    changer.run("BEGIN");
    changer.write(SET_LIMIT, &[&sid]);
    assert_eq!(other.verdict(&sid).status, "idle_expired");
    admin.set_param(param::DELAY, Some("1 day"));
    changer.run("COMMIT");
    assert!(!other.check(&sid));
    wait_until_gone(&mut other, &sid);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
}

/// In the simple protocol a statement that is a transaction of its own ends without its last change being made visible.
#[test]
fn an_expiry_found_while_one_statement_changes_the_limits_stays() {
    let database = preloaded::database("limits_statement", &QUIET);
    let (mut changer, mut other, mut admin) = three(&database);
    let sid = new_sid();
    open_expired(&mut changer, &sid);
    let change = format!(
        "UPDATE session_timeout.session SET idle_delay = '5 hours' \
         WHERE digest = session_timeout.session_digest('{sid}') RETURNING pg_sleep(3)"
    );
    let changed = thread::spawn(move || changer.batch_execute(&change));
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    eventually("the row is changed", SOON, || admin.value::<i64>(asleep, &[]) == 1);
    assert_eq!(other.verdict(&sid).status, "idle_expired");
    admin.set_param(param::DELAY, Some("1 day"));
    changed.join().expect("a thread").expect("the change");
    assert!(!other.check(&sid));
    wait_until_gone(&mut other, &sid);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn an_expiry_found_before_a_rotation_is_committed_stays() {
    let database = preloaded::database("rotation_expiry", &and(QUIET, (param::DELAY, "2")));
    let (mut changer, mut other, mut admin) = three(&database);
    let (old, new) = (new_sid(), new_sid());
    changer.open(&old);
    changer.run("BEGIN");
    assert!(changer.rotate(&old, &new));
    wait_until_idle(&mut other, &old);
    assert!(!other.check(&old));
    admin.set_param(param::DELAY, Some("1 day"));
    changer.run("COMMIT");
    assert!(!other.check(&new));
    wait_until_gone(&mut other, &new);
    assert_eq!(other.event_kinds(&new), ["idle_expired"]);
    assert_eq!(other.event_kinds(&old), [""; 0]);
}

#[test]
fn an_expiry_found_before_a_login_is_committed_is_told_of_and_the_login_counts() {
    let database = preloaded::database("login_expiry", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    let sid = new_sid();
    changer.open_limited(&sid, Some("1 second"), None);
    changer.run("BEGIN");
    changer.open(&sid);
    wait_until_idle(&mut other, &sid);
    assert!(!other.check(&sid));
    changer.run("COMMIT");
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
    assert!(other.check(&sid));
    // The pass that the mark called for may be over already.
    other.set_param(param::PURGE_INTERVAL, Some("1"));
    wait_for_passes(&mut other, 1);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
    assert!(other.check(&sid));
}

#[test]
fn an_expiry_found_before_a_login_is_rolled_back_is_told_of_once() {
    let database = preloaded::database("no_login_expiry", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    for rollback in ["ROLLBACK", "ROLLBACK TO here; COMMIT"] {
        let sid = new_sid();
        changer.open_limited(&sid, Some("1 second"), None);
        changer.run("BEGIN; SAVEPOINT here");
        changer.open(&sid);
        wait_until_idle(&mut other, &sid);
        assert!(!other.check(&sid));
        changer.run(rollback);
        assert!(!other.check(&sid));
        wait_until_gone(&mut other, &sid);
        assert_eq!(other.event_kinds(&sid), ["idle_expired"], "{rollback}");
    }
}

#[test]
fn an_expiry_by_a_transactions_own_parameter_is_final_from_its_commit_on() {
    let database = preloaded::database("own_param_expiry", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    for (end, is_valid) in [
        ("COMMIT", false),
        ("ROLLBACK", true),
        ("ROLLBACK TO here; COMMIT", true),
    ] {
        let sid = idle_for_a_while(&mut changer);
        changer.run("BEGIN; SAVEPOINT here");
        changer.set_param(param::DELAY, Some("1 hour"));
        assert_eq!(changer.verdict(&sid).status, "idle_expired");
        changer.run(end);
        changer.set_param(param::DELAY, Some("1 day"));
        assert_eq!(other.check(&sid), is_valid, "{end}");
        if !is_valid {
            wait_until_gone(&mut other, &sid);
            assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
        }
    }
}

#[test]
fn an_expiry_in_a_transaction_that_changed_something_else_outlives_its_rollback() {
    let database = preloaded::database("own_row_expiry", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    for is_loaded in [false, true] {
        let sid = new_sid();
        open_expired(&mut changer, &sid);
        if is_loaded {
            assert_eq!(other.peek(&sid).status, "idle_expired");
        }
        changer.run("BEGIN");
        changer.write(
            "UPDATE session_timeout.session SET user_name = 'renamed' WHERE digest = session_timeout.session_digest($1)",
            &[&sid],
        );
        assert!(!changer.check(&sid));
        other.set_param(param::DELAY, Some("1 day"));
        if is_loaded {
            assert!(!other.check(&sid), "at once");
        }
        changer.run("ROLLBACK");
        assert!(!other.check(&sid), "loaded: {is_loaded}");
        other.set_param(param::DELAY, Some("2 hours"));
    }
}

/// A parallel worker sees what its leader has changed, and has nowhere to keep that apart.
#[test]
fn a_parallel_worker_records_nothing_that_its_leader_has_not_committed() {
    let database = preloaded::database("parallel", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    changer.run(
        "CREATE FUNCTION public.mislabelled(sid text) RETURNS text PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
             RETURN pg_backend_pid() || ' ' || (session_timeout.session_verdict(sid)).status;
         END $$",
    );
    let _ = changer
        .batch_execute("SET force_parallel_mode = on")
        .or_else(|_| changer.batch_execute("SET debug_parallel_query = on"));
    let pid: i32 = changer.value("SELECT pg_backend_pid()", &[]);
    let ask = |client: &mut Client, sid: &str, expected: &str| {
        let answer: String = client.value("SELECT public.mislabelled($1)", &[&sid]);
        let (by, status) = answer.split_once(' ').expect("two words");
        assert_ne!(by, pid.to_string(), "it ran in a worker");
        assert_eq!(status, expected);
    };
    // By a parameter.
    let sid = idle_for_a_while(&mut changer);
    changer.run("BEGIN");
    changer.set_param(param::DELAY, Some("1 hour"));
    ask(&mut changer, &sid, "idle_expired");
    changer.run("ROLLBACK");
    assert!(other.check(&sid), "a parameter that was rolled back expired it");
    // By a row: what is in memory of the session as others see it stays.
    let touched = touch(&mut other, &sid);
    changer.run("BEGIN");
    changer.has_been_idle(&sid, "3 hours");
    ask(&mut changer, &sid, "idle_expired");
    changer.run("ROLLBACK");
    is_known(&mut other, &sid, touched);
    // A leader that has changed nothing: its workers check as anybody does.
    let sid = idle_for_a_while(&mut changer);
    ask(&mut changer, &sid, "active");
    let idle = Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert!(idle < session_timeout_tests::chrono::TimeDelta::minutes(1), "{idle}");
}

#[test]
fn a_truncate_tells_of_each_session_what_it_was() {
    let database = preloaded::database("truncate_kinds", &and(QUIET, (param::DELAY, "3")));
    let (mut changer, mut other, mut admin) = three(&database);
    let (found, late, open) = (new_sid(), new_sid(), new_sid());
    for sid in [&found, &late, &open] {
        changer.open(sid);
        assert!(other.check(sid));
    }
    // The worker is kept away.
    changer.run("BEGIN; LOCK TABLE session_timeout.session IN SHARE ROW EXCLUSIVE MODE");
    wait_until_idle(&mut other, &found);
    assert!(!other.check(&found));
    admin.set_param(param::DELAY, Some("1 day"));
    assert!(other.check(&open));
    changer.run("TRUNCATE session_timeout.session; COMMIT");
    assert_eq!(admin.event_kinds(&found), ["idle_expired"]);
    assert_eq!(admin.event_kinds(&late), ["closed"]);
    assert_eq!(admin.event_kinds(&open), ["closed"]);
}

// ---- Activity --------------------------------------------------------------------------------------------------------

#[test]
fn activity_before_a_change_of_limits_is_committed_is_kept_and_written_down() {
    let database = preloaded::database("limits_touch", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    let sid = idle_for_a_while(&mut changer);
    changer.run("BEGIN");
    changer.write(SET_LIMIT, &[&sid]);
    let touched = touch(&mut other, &sid);
    changer.run("COMMIT");
    is_flushed(&mut other, &sid, touched);
}

#[test]
fn activity_before_a_rotation_is_committed_goes_along_and_is_written_down() {
    let database = preloaded::database("rotation_touch", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    // There and back as well: what others know the session as is where it began.
    for steps in [1, 2, 3] {
        let sids: Vec<String> = (0..=steps).map(|_| new_sid()).collect();
        let there_and_back = idle_for_a_while(&mut changer);
        changer.run("BEGIN");
        assert!(changer.rotate(&there_and_back, &sids[0]));
        for pair in sids.windows(2) {
            assert!(changer.rotate(&pair[0], &pair[1]));
        }
        let last = if steps == 2 { &there_and_back } else { &sids[steps] };
        if steps == 2 {
            assert!(changer.rotate(&sids[steps], last));
        }
        let touched = touch(&mut other, &there_and_back);
        changer.run("COMMIT");
        is_flushed(&mut other, last, touched);
        other.set_param(param::FLUSH_INTERVAL, Some("1 day"));
    }
}

#[test]
fn a_close_that_is_rolled_back_to_a_savepoint_leaves_activity_to_be_written_down() {
    let database = preloaded::database("savepoint_touch", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    let sid = idle_for_a_while(&mut changer);
    let touched = touch(&mut other, &sid);
    changer.run("BEGIN; SAVEPOINT here");
    assert!(changer.close_sid(&sid));
    changer.run("ROLLBACK TO here; COMMIT");
    // Without a look at it, which would read the row.
    other.set_param(param::FLUSH_INTERVAL, Some("1"));
    wait_until_flushed(&mut other, &sid, touched.expect("an activity"));
}

#[test]
fn a_later_rollback_to_a_savepoint_leaves_activity_to_a_session_that_was_changed_before() {
    let database = preloaded::database("savepoint_limits", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    let limited = idle_for_a_while(&mut changer);
    let (old, new) = (idle_for_a_while(&mut changer), new_sid());
    changer.run("BEGIN");
    changer.write(SET_LIMIT, &[&limited]);
    assert!(changer.rotate(&old, &new));
    changer.run("SAVEPOINT here");
    changer.write(SET_LIMIT, &[&new]);
    changer.open(&limited);
    changer.run("ROLLBACK TO here");
    let touched = [touch(&mut other, &limited), touch(&mut other, &old)];
    changer.run("COMMIT");
    is_known(&mut other, &limited, touched[0]);
    is_known(&mut other, &new, touched[1]);
}

#[test]
fn a_request_in_the_transaction_that_changed_the_session_survives_a_rollback_to_a_savepoint() {
    let database = preloaded::database("savepoint_own", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    for savepoint_first in [true, false] {
        let (old, new) = (idle_for_a_while(&mut changer), new_sid());
        changer.run("BEGIN");
        assert!(changer.rotate(&old, &new));
        if savepoint_first {
            changer.run("SAVEPOINT here");
        }
        let touched = touch(&mut changer, &new);
        if !savepoint_first {
            changer.run("SAVEPOINT here");
        }
        changer.run("ROLLBACK TO here; COMMIT");
        is_flushed(&mut other, &new, touched);
        other.set_param(param::FLUSH_INTERVAL, Some("1 day"));
    }
}

#[test]
fn a_request_judged_by_what_was_rolled_back_keeps_no_session_alive() {
    let database = preloaded::database("savepoint_param", &QUIET);
    let (mut changer, mut other, _) = three(&database);
    let sid = new_sid();
    open_expired(&mut changer, &sid);
    changer.run("BEGIN; SAVEPOINT here");
    changer.set_param(param::DELAY, Some("1 day"));
    assert!(changer.check(&sid));
    changer.run("ROLLBACK TO here; COMMIT");
    assert!(!other.check(&sid));
}
