//! What each parameter does.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::param;

use crate::support::{SessionCalls, assert_about, new_sid, own_database};

#[test]
fn the_absolute_delay_ends_an_active_session() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "8 hours")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "8 hours 1 minute");
    assert_eq!(app.verdict(&sid).status, "absolute_expired");
}

#[test]
fn an_absolute_delay_of_zero_or_less_is_off() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "20 years");
    for delay in ["0", "-1", "-8 hours"] {
        database.set_params(&[(param::ABSOLUTE_DELAY, delay)]);
        assert!(app.check(&sid), "{delay}");
    }
}

#[test]
fn the_warning_parameter_says_when_warn_turns_true() {
    let database = own_database();
    database.set_params(&[(param::WARNING, "30 minutes")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "89 minutes");
    assert!(!app.peek(&sid).warn);
    app.has_been_idle(&sid, "91 minutes");
    assert!(app.peek(&sid).warn);
}

#[test]
fn a_warning_of_zero_is_none() {
    let database = own_database();
    database.set_params(&[(param::WARNING, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7195 seconds");
    assert!(!app.peek(&sid).warn);
}

#[test]
fn the_warning_is_measured_to_the_nearer_end() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "50 minutes");
    assert_about(app.peek(&sid).expires_in, TimeDelta::minutes(10));
}
