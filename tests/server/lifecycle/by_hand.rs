//! Rows written by hand, and their versions.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::error_of;
use session_timeout_tests::postgres::Client;

use super::row;
use crate::support::{SessionCalls, app, assert_just_now, new_sid, own_database, unique};

const INSERT: &str = "INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest($1))";
const DELETE: &str = "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";

/// Writes to the session's row: `UPDATE session SET …`.
#[track_caller]
fn update(app: &mut Client, sid: &str, set: &str) {
    let sql = format!("UPDATE session_timeout.session SET {set} WHERE digest = session_timeout.session_digest($1)");
    assert_eq!(app.write(&sql, &[&sid]), 1);
}

#[test]
fn a_row_inserted_by_hand_is_an_open_session() {
    let (mut app, sid) = (app(), new_sid());
    app.write(INSERT, &[&sid]);
    assert!(app.check(&sid));
}

#[test]
fn a_row_inserted_by_hand_is_opened_now_unless_it_says_otherwise() {
    let (mut app, sid) = (app(), new_sid());
    app.write(INSERT, &[&sid]);
    let row = row(&mut app, &sid);
    assert_just_now(Some(row.opened_at));
    assert_just_now(Some(row.last_activity));
}

#[test]
fn a_row_deleted_by_hand_is_a_closed_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.write(DELETE, &[&sid]);
    assert!(!app.check(&sid));
}

#[test]
fn truncate_closes_all_sessions() {
    let database = own_database();
    let (mut app, sids) = (database.connect(), [new_sid(), new_sid()]);
    for sid in &sids {
        app.open(sid);
    }
    app.run("TRUNCATE session_timeout.session");
    assert_eq!(sids.map(|sid| app.check(&sid)), [false; 2]);
}

#[test]
fn activity_set_backwards_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.check(&sid));
    update(&mut app, &sid, "last_activity = clock_timestamp() - interval '3 hours'");
    assert!(!app.check(&sid));
}

#[test]
fn activity_set_forward_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    update(&mut app, &sid, "last_activity = clock_timestamp()");
    assert!(app.check(&sid));
}

#[test]
fn activity_set_to_the_beginning_of_time_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "last_activity = '-infinity'");
    assert!(!app.check(&sid));
}

#[test]
fn activity_set_to_the_end_of_time_by_hand_does_not_fail_a_check() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "last_activity = 'infinity'");
    assert!(app.check(&sid));
}

#[test]
fn an_opened_at_set_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    update(&mut app, &sid, "opened_at = clock_timestamp() - interval '2 hours'");
    assert!(!app.check(&sid));
}

#[test]
fn limits_set_by_hand_are_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "idle_delay = '5 minutes'");
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::minutes(5)));
    update(&mut app, &sid, "idle_delay = NULL, absolute_delay = '6 minutes'");
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(6)));
}

#[test]
fn a_user_set_by_hand_is_honoured() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open(&sid);
    app.write(
        "UPDATE session_timeout.session SET user_name = $2 WHERE digest = session_timeout.session_digest($1)",
        &[&sid, &user],
    );
    assert_eq!(app.close_user(&user), 1);
}

#[test]
fn a_digest_set_by_hand_moves_the_session() {
    let (mut app, old, new) = (app(), new_sid(), new_sid());
    app.open(&old);
    app.write(
        "UPDATE session_timeout.session SET digest = session_timeout.session_digest($2) \
         WHERE digest = session_timeout.session_digest($1)",
        &[&old, &new],
    );
    assert_eq!((app.check(&old), app.check(&new)), (false, true));
}

#[test]
fn rows_that_are_no_sessions_are_refused() {
    let mut app = app();
    for (columns, values) in [
        ("digest", "'too short'"),
        ("digest, idle_delay", "sha256('a'), '0'"),
        ("digest, idle_delay", "sha256('a'), '-1 second'"),
        ("digest, absolute_delay", "sha256('a'), '0'"),
        ("digest, user_name", "sha256('a'), repeat('x', 1025)"),
        ("digest, opened_at", "sha256('a'), 'infinity'"),
    ] {
        let sql = format!("INSERT INTO session_timeout.session ({columns}) VALUES ({values})");
        assert_eq!(error_of(app.execute(&sql, &[])).sqlstate, "23514", "{sql}");
    }
}

#[test]
fn a_second_row_for_a_digest_is_refused() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(error_of(app.execute(INSERT, &[&sid])).sqlstate, "23505");
}

#[test]
fn every_change_of_clocks_or_limits_by_hand_gives_a_new_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let mut before = row(&mut app, &sid).version;
    for set in [
        "last_activity = last_activity - interval '1 second'",
        "last_activity = last_activity + interval '1 second'",
        "opened_at = opened_at - interval '1 second'",
        "idle_delay = '1 hour'",
        "idle_delay = '2 hours'",
        "idle_delay = NULL",
        "absolute_delay = '1 hour'",
        "absolute_delay = NULL",
    ] {
        update(&mut app, &sid, set);
        let after = row(&mut app, &sid).version;
        assert!(after > before, "{set}");
        before = after;
    }
}

#[test]
fn other_changes_by_hand_keep_the_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    for set in ["user_name = 'another'", "digest = digest"] {
        update(&mut app, &sid, set);
        assert_eq!(row(&mut app, &sid).version, before, "{set}");
    }
}

#[test]
fn a_version_cannot_be_set_by_hand() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    update(&mut app, &sid, "version = version + 1000000");
    assert_eq!(row(&mut app, &sid).version, before);
}

#[test]
fn a_version_cannot_be_set_by_hand_together_with_a_clock() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    update(
        &mut app,
        &sid,
        "version = version, last_activity = last_activity - interval '1 s'",
    );
    assert_ne!(row(&mut app, &sid).version, before);
}

#[test]
fn a_version_cannot_be_inserted_by_hand() {
    let (mut app, sid) = (app(), new_sid());
    app.write(
        "INSERT INTO session_timeout.session (digest, version) VALUES (session_timeout.session_digest($1), -7)",
        &[&sid],
    );
    assert!(row(&mut app, &sid).version > 0);
}

#[test]
fn rows_have_versions_of_their_own() {
    let (mut app, one, other) = (app(), new_sid(), new_sid());
    app.open(&one);
    app.write(INSERT, &[&other]);
    assert_ne!(row(&mut app, &one).version, row(&mut app, &other).version);
}

#[test]
fn replicated_rows_get_a_version_too() {
    let (mut app, sid) = (app(), new_sid());
    app.run("SET session_replication_role = replica");
    app.write(
        "INSERT INTO session_timeout.session (digest, version) VALUES (session_timeout.session_digest($1), -7)",
        &[&sid],
    );
    assert!(row(&mut app, &sid).version > 0);
}
