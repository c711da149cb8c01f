//! A check in a read-only transaction. If the library is preloaded, its touch and its expiry count.

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::{error_of, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, app, new_sid, open_expired, unique, wait_until_gone};

#[test]
fn a_check_in_a_read_only_transaction_touches() {
    let database = preloaded::database("read_only", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    client.run("BEGIN READ ONLY");
    assert!(client.check(&sid));
    client.run("COMMIT");
    let activity = other.peek(&sid).last_activity.expect("an activity");
    assert!(Utc::now() - activity < session_timeout_tests::chrono::TimeDelta::minutes(1));
}

#[test]
fn a_check_in_a_read_only_transaction_expires_for_good() {
    let database = preloaded::database("read_only_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    client.run("BEGIN READ ONLY");
    assert!(!client.check(&sid));
    client.run("COMMIT");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_check_answers_in_a_read_only_transaction() {
    let (mut app, open, closed) = (app(), new_sid(), new_sid());
    app.open(&open);
    app.has_been_idle(&open, "1 hour");
    app.run("BEGIN READ ONLY");
    assert_eq!((app.check(&open), app.check(&closed)), (true, false));
}

#[test]
fn a_touch_in_a_read_only_transaction_is_not_recorded() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.run("BEGIN READ ONLY");
    app.check(&sid);
    app.run("COMMIT");
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn an_expired_session_is_not_valid_in_a_read_only_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.run("BEGIN READ ONLY");
    assert!(!app.check(&sid));
}

#[test]
fn an_expiry_in_a_read_only_transaction_is_not_recorded() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.run("BEGIN READ ONLY");
    app.check(&sid);
    app.run("COMMIT");
    assert_eq!(app.stored(&sid), before);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn what_only_looks_works_in_a_read_only_transaction() {
    let mut app = app();
    app.run("BEGIN READ ONLY");
    for call in [
        "session_verdict('sid')",
        "peek_session('sid')",
        "session_digest('sid')",
        "get_param('key')",
        "flush_sessions()",
        "active_session",
    ] {
        app.run(&format!("SELECT * FROM session_timeout.{call}"));
    }
}

#[test]
fn what_writes_is_refused_in_a_read_only_transaction() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open_as(&sid, &user);
    let before = app.stored(&sid);
    for call in [
        format!("open_session('{sid}')"),
        format!("close_session('{sid}')"),
        format!("rotate_session('{sid}', 'new')"),
        format!("close_user_sessions('{user}')"),
        "purge_sessions()".to_owned(),
        "set_param('inactive_session_time_out_delay', '60')".to_owned(),
        "set_param('inactive_session_time_out_delay', NULL)".to_owned(),
    ] {
        app.run("BEGIN READ ONLY");
        let error = error_of(app.batch_execute(&format!("SELECT session_timeout.{call}")));
        app.run("ROLLBACK");
        assert_eq!(error.sqlstate, "25006", "{call}: {error}");
        assert_eq!(app.stored(&sid), before, "{call}");
    }
}
