//! PREPARE TRANSACTION is refused after a change of sessions or parameters.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{error_of, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, app, new_sid, own_database, unique};

const PREPARED: &str = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";

#[test]
fn a_transaction_that_changed_a_session_is_not_prepared() {
    let database = preloaded::database("prepare_refused", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let calls = [
        format!("SELECT session_timeout.open_session('{sid}')"),
        format!("SELECT session_timeout.rotate_session('{sid}', '{sid}-new')"),
        format!("SELECT session_timeout.close_session('{sid}')"),
        "UPDATE session_timeout.session SET last_activity = now()".to_owned(),
        "DELETE FROM session_timeout.session".to_owned(),
        "TRUNCATE session_timeout.session".to_owned(),
        format!("SELECT session_timeout.set_param('{}', '1 hour')", param::DELAY),
    ];
    for call in calls {
        client.run(&format!("BEGIN; {call}"));
        let id = unique("refused");
        let error = error_of(client.batch_execute(&format!("PREPARE TRANSACTION '{id}'")));
        assert_eq!(error.sqlstate, "0A000", "{call}");
        assert!(client.check(&sid), "{call}");
        assert_eq!(client.value::<i64>(PREPARED, &[]), 0);
    }
}

#[test]
fn a_transaction_that_only_checked_is_prepared() {
    let database = preloaded::database("prepare_checked", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("CREATE TABLE request (at timestamptz)");
    let id = unique("checked");
    client.run("BEGIN; INSERT INTO request VALUES (now())");
    let touched = client.verdict(&sid).last_activity;
    client.run(&format!("PREPARE TRANSACTION '{id}'"));
    client.run(&format!("COMMIT PREPARED '{id}'"));
    assert_eq!(client.peek(&sid).last_activity, touched);
    assert_eq!(client.value::<i64>(PREPARED, &[]), 0);
}

/// Prepares the transaction in which `statement` has been run. `{a}` in it is an open session of a user of that name.
fn prepare_after(app: &mut Client, statement: &str) -> Result<String, Box<session_timeout_tests::ServerError>> {
    let (sid, gid) = (new_sid(), unique("prepared"));
    app.open_as(&sid, &sid);
    app.has_been_idle(&sid, "1 hour");
    app.run("BEGIN");
    app.run(&statement.replace("{a}", &sid));
    match app.batch_execute(&format!("PREPARE TRANSACTION '{gid}'")) {
        Ok(()) => Ok(gid),
        Err(error) => Err(Box::new(session_timeout_tests::ServerError::of(&error))),
    }
}

#[track_caller]
fn assert_not_prepared_after(app: &mut Client, statement: &str) {
    let error = prepare_after(app, statement).expect_err(statement);
    assert_eq!(error.sqlstate, "0A000", "{statement}: {error}");
    // PostgreSQL refuses some of them by itself, since they NOTIFY; then it says so in other words.
    assert!(
        error.message.contains("changed sessions or their parameters"),
        "{statement}: {error}"
    );
    assert!(
        error.hint.contains("in a transaction of their own"),
        "{statement}: {error}"
    );
}

#[test]
fn a_transaction_that_called_what_changes_sessions_cannot_be_prepared() {
    let mut app = app();
    for call in [
        "open_session('{a}')",
        "open_session('{a}, new')",
        "close_session('{a}')",
        "close_user_sessions('{a}')",
        "rotate_session('{a}', '{a}, new')",
    ] {
        assert_not_prepared_after(&mut app, &format!("SELECT session_timeout.{call}"));
    }
}

#[test]
fn a_transaction_that_changed_session_rows_by_hand_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for statement in [
        "INSERT INTO session_timeout.session (digest) VALUES (sha256('new'))",
        "UPDATE session_timeout.session SET last_activity = last_activity - interval '1 second'",
        "DELETE FROM session_timeout.session",
        "TRUNCATE session_timeout.session",
    ] {
        assert_not_prepared_after(&mut app, statement);
    }
}

#[test]
fn a_transaction_that_changed_parameters_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for statement in [
        "SELECT session_timeout.set_param('inactive_session_time_out_delay', '60')",
        "SELECT session_timeout.set_param('inactive_session_time_out_delay', NULL)",
        "UPDATE session_timeout.config_parameter SET value = '60' WHERE value = '7200'",
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('inactive_session_time_out_delay', '60')",
        "DELETE FROM session_timeout.config_parameter",
        "TRUNCATE session_timeout.config_parameter",
    ] {
        assert_not_prepared_after(&mut app, statement);
    }
}

#[test]
fn a_transaction_that_purged_sessions_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    database.set_params(&[(param::DELAY, "1 minute")]);
    assert_not_prepared_after(&mut app, "SELECT session_timeout.purge_sessions()");
}

#[test]
fn a_transaction_that_was_not_prepared_is_rolled_back() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    error_of(app.batch_execute(&format!("PREPARE TRANSACTION '{}'", unique("prepared"))));
    assert!(!app.check(&sid));
}

#[test]
fn without_preload_a_transaction_that_only_checked_is_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for call in [
        "check_session('{a}')",
        "check_session('{a}', '/websocket')",
        "check_session('never opened')",
        "session_verdict('{a}')",
        "peek_session('{a}')",
        "get_param('key')",
    ] {
        let gid = prepare_after(&mut app, &format!("SELECT session_timeout.{call}")).expect(call);
        app.run(&format!("COMMIT PREPARED '{gid}'"));
    }
}

#[test]
fn a_transaction_after_one_that_changed_sessions_can_be_prepared() {
    for end in ["COMMIT", "ROLLBACK"] {
        let database = own_database();
        let (mut app, sid) = (database.connect(), new_sid());
        app.run("BEGIN");
        app.open(&sid);
        app.run(end);
        let gid = prepare_after(&mut app, "SELECT session_timeout.check_session('{a}')").expect(end);
        app.run(&format!("ROLLBACK PREPARED '{gid}'"));
    }
}
