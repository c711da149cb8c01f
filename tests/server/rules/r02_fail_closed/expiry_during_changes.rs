//! Others find a session expired while a transaction that has changed it is not committed: the expiry is not lost with the
//! old version, a savepoint or a rollback.

use std::thread;

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{
    SET_LIMIT, SOON, SessionCalls, hang_in_commit, idle_for_a_while, let_go, new_sid, open_expired, three_connections,
    wait_for_passes, wait_until_gone, wait_until_idle,
};

#[test]
fn an_expiry_found_before_a_change_of_limits_commits_stays() {
    let database = preloaded::database("limits_expiry", &QUIET);
    let (mut changer, mut other, mut admin) = three_connections(&database);
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

/// Its row has a version that others do not know yet.
#[test]
fn a_transaction_that_changes_the_limits_learns_that_others_found_the_session_expired() {
    let database = preloaded::database("own_limits", &QUIET);
    let (mut changer, mut other, mut admin) = three_connections(&database);
    for name in ["checked", "closed", "revoked", "changed again"] {
        let sid = new_sid();
        admin.set_param(param::DELAY, None);
        changer.open_as(&sid, "user");
        changer.has_been_idle(&sid, "1 hour");
        changer.run("BEGIN");
        changer.write(SET_LIMIT, &[&sid]);
        assert!(changer.peek(&sid).valid);
        admin.set_param(param::DELAY, Some("10 minutes"));
        assert!(!other.check(&sid));
        admin.set_param(param::DELAY, Some("1 day"));
        match name {
            "checked" => assert_eq!(changer.verdict(&sid).status, "idle_expired"),
            "closed" => assert!(!changer.close_sid(&sid)),
            "revoked" => assert_eq!(changer.close_user("user"), 0),
            _ => assert_eq!(changer.write(SET_LIMIT, &[&sid]), 1),
        }
        changer.run("COMMIT");
        assert!(!other.check(&sid), "{name}");
        wait_until_gone(&mut other, &sid);
        assert_eq!(other.event_kinds(&sid), ["idle_expired"], "{name}");
    }
}

#[test]
fn a_transaction_that_rotates_learns_that_others_found_the_session_expired() {
    let database = preloaded::database("own_rotation", &QUIET);
    let (mut changer, mut other, mut admin) = three_connections(&database);
    for is_rotated_again in [false, true] {
        let (old, new) = (new_sid(), new_sid());
        admin.set_param(param::DELAY, None);
        changer.open(&old);
        changer.has_been_idle(&old, "1 hour");
        changer.run("BEGIN");
        assert!(changer.rotate(&old, &new));
        admin.set_param(param::DELAY, Some("10 minutes"));
        assert!(!other.check(&old));
        admin.set_param(param::DELAY, Some("1 day"));
        if is_rotated_again {
            let third = new_sid();
            assert!(!changer.rotate(&new, &third));
            assert!(!changer.check(&third));
        } else {
            assert!(!changer.check(&new));
        }
        changer.run("COMMIT");
        assert!(!other.check(&new));
        wait_until_gone(&mut other, &new);
        assert_eq!(other.event_kinds(&new), ["idle_expired"]);
    }
}

/// In the simple protocol a statement that is a transaction of its own ends without its last change being made visible.
#[test]
fn an_expiry_found_while_one_statement_changes_the_limits_stays() {
    let database = preloaded::database("limits_statement", &QUIET);
    let (mut changer, mut other, mut admin) = three_connections(&database);
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
fn an_expiry_found_before_a_rotation_commits_stays() {
    let database = preloaded::database("rotation_expiry", &and(QUIET, (param::DELAY, "2")));
    let (mut changer, mut other, mut admin) = three_connections(&database);
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
fn an_expiry_found_before_a_login_commits_is_recorded_and_the_login_counts() {
    let database = preloaded::database("login_expiry", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
    let sid = new_sid();
    changer.open_limited(&sid, Some("1 second"), None);
    changer.run("BEGIN");
    changer.open(&sid);
    wait_until_idle(&mut other, &sid);
    assert!(!other.check(&sid));
    changer.run("COMMIT");
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
    assert!(other.check(&sid));
    // The pass that the expired flag called for may be over already.
    other.set_param(param::PURGE_INTERVAL, Some("1"));
    wait_for_passes(&mut other, 1);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
    assert!(other.check(&sid));
}

#[test]
fn an_expiry_found_before_a_login_is_rolled_back_is_recorded_once() {
    let database = preloaded::database("no_login_expiry", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
fn an_expiry_by_an_uncommitted_parameter_is_final_from_the_commit_on() {
    let database = preloaded::database("own_param_expiry", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
fn an_expiry_outlives_the_rollback_of_an_unrelated_change() {
    let database = preloaded::database("own_row_expiry", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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

#[test]
fn a_truncate_records_for_each_session_how_it_ended() {
    let database = preloaded::database("truncate_kinds", &and(QUIET, (param::DELAY, "3")));
    let (mut changer, mut other, mut admin) = three_connections(&database);
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

#[test]
fn a_request_judged_by_what_was_rolled_back_keeps_no_session_alive() {
    let database = preloaded::database("savepoint_param", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
    let sid = new_sid();
    open_expired(&mut changer, &sid);
    changer.run("BEGIN; SAVEPOINT here");
    changer.set_param(param::DELAY, Some("1 day"));
    assert!(changer.check(&sid));
    changer.run("ROLLBACK TO here; COMMIT");
    assert!(!other.check(&sid));
}

#[test]
fn an_expiry_found_during_an_invalidation_outlasts_a_raised_delay() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "flux_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    let rename = "UPDATE session_timeout.session SET user_name = 'renamed' \
                  WHERE digest = session_timeout.session_digest($1)";
    let hanging = hang_in_commit(&database, rename, &sid);
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid), "before the change has returned");
    let_go(&mut client, hanging);
    assert!(!client.check(&sid), "after it");
}

#[test]
fn an_expiry_found_during_another_login_outlasts_a_raised_delay() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "login_expiry", &QUIET);
    let mut client = database.connect();
    let (sid, other) = (new_sid(), new_sid());
    open_expired(&mut client, &sid);
    let hanging = hang_in_commit(&database, "SELECT session_timeout.open_session($1)", &other);
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid), "before the login has returned");
    let_go(&mut client, hanging);
    assert!(!client.check(&sid), "after it");
}
