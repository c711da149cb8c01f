//! Others use a session while a transaction that has changed it is not committed: their activity is not lost with the old
//! version, a savepoint or a rollback.

use session_timeout_tests::param;

use crate::support::preloaded::{self, QUIET};
use crate::support::{
    SET_LIMIT, SessionCalls, assert_flushed, assert_known, hang_in_commit, idle_for_a_while, let_go, new_sid,
    three_connections, touch, wait_until_flushed,
};

#[test]
fn activity_before_a_change_of_limits_commits_is_kept_and_flushed() {
    let database = preloaded::database("limits_touch", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
    let sid = idle_for_a_while(&mut changer);
    changer.run("BEGIN");
    changer.write(SET_LIMIT, &[&sid]);
    let touched = touch(&mut other, &sid);
    changer.run("COMMIT");
    assert_flushed(&mut other, &sid, touched);
}

#[test]
fn activity_before_a_rotation_commits_is_kept_and_flushed() {
    let database = preloaded::database("rotation_touch", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
        assert_flushed(&mut other, last, touched);
        other.set_param(param::FLUSH_INTERVAL, Some("1 day"));
    }
}

#[test]
fn a_close_rolled_back_to_a_savepoint_leaves_activity_to_be_flushed() {
    let database = preloaded::database("savepoint_touch", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
fn a_later_rollback_to_a_savepoint_leaves_earlier_changed_sessions_activity() {
    let database = preloaded::database("savepoint_limits", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
    assert_known(&mut other, &limited, touched[0]);
    assert_known(&mut other, &new, touched[1]);
}

#[test]
fn a_request_of_the_changing_transaction_survives_a_rollback_to_a_savepoint() {
    let database = preloaded::database("savepoint_own", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
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
        assert_flushed(&mut other, &new, touched);
        other.set_param(param::FLUSH_INTERVAL, Some("1 day"));
    }
}

#[test]
fn activity_is_kept_during_another_login() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "login_touch", &QUIET);
    let mut client = database.connect();
    let (sid, other) = (new_sid(), new_sid());
    client.open(&sid);
    let hanging = hang_in_commit(&database, "SELECT session_timeout.open_session($1)", &other);
    let touched = client.verdict(&sid).last_activity;
    let_go(&mut client, hanging);
    assert_eq!(client.peek(&sid).last_activity, touched);
}
