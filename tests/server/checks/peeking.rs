//! `peek_session` sees, and does nothing.

use session_timeout_tests::param;

use crate::support::{SessionCalls, app, new_sid, own_database};

#[test]
fn a_peek_sees_a_valid_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let seen = app.peek(&sid);
    assert!(seen.valid);
    assert_eq!(seen.status, "active");
}

#[test]
fn a_peek_never_touches() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.peek(&sid);
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn a_peek_says_idle_expired_of_a_session_that_nobody_has_expired_yet() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let seen = app.peek(&sid);
    assert!(!seen.valid);
    assert_eq!(seen.status, "idle_expired");
}

#[test]
fn a_peek_says_absolute_expired_of_a_session_that_nobody_has_expired_yet() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    assert_eq!(app.peek(&sid).status, "absolute_expired");
}

#[test]
fn a_peek_expires_nothing() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.peek(&sid);
    assert_eq!(app.stored(&sid), before);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn a_higher_limit_saves_what_only_a_peek_has_seen_expired() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.peek(&sid);
    database.set_params(&[(param::DELAY, "1 day")]);
    assert!(app.check(&sid));
}
