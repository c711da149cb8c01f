//! Re-login: `open_session` for a session that is open, or that has expired.

use super::{row, used_session};
use crate::support::{SessionCalls, app, assert_just_now, new_sid};

#[test]
fn a_re_login_restarts_the_age() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).opened_at);
}

#[test]
fn a_re_login_restarts_the_idle_time() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).last_activity);
}

#[test]
fn a_re_login_replaces_the_user() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open_as(&sid, "another");
    assert_eq!(app.peek(&sid).user_name.as_deref(), Some("another"));
}

#[test]
fn a_re_login_without_a_user_leaves_the_session_without_one() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.peek(&sid).user_name, None);
}

#[test]
fn a_re_login_replaces_the_limits() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open_limited(&sid, Some("5 minutes"), None);
    let row = row(&mut app, &sid);
    assert_eq!(
        (row.idle_delay.as_deref(), row.absolute_delay),
        (Some("00:05:00"), None)
    );
}

#[test]
fn a_re_login_gives_a_new_version() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    let before = row(&mut app, &sid).version;
    app.open(&sid);
    assert!(row(&mut app, &sid).version > before);
}

#[test]
fn a_re_login_ends_no_session() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn a_login_over_an_idle_expired_session_writes_its_event() {
    let mut app = app();
    let (sid, user) = used_session(&mut app);
    app.has_been_idle(&sid, "3 hours");
    let old = row(&mut app, &sid);
    app.open_as(&sid, "another");
    let events = app.events(&sid);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "idle_expired");
    assert_eq!(events[0].user_name, Some(user));
    assert_eq!(events[0].last_activity, old.last_activity);
}

#[test]
fn a_login_over_an_absolute_expired_session_writes_its_event() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.was_opened_ago(&sid, "11 hours");
    app.open(&sid);
    assert_eq!(app.event_kinds(&sid), ["absolute_expired"]);
}

#[test]
fn a_login_over_an_expired_session_opens_it() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.has_been_idle(&sid, "3 hours");
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn a_session_closed_and_opened_again_has_a_new_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    app.close_sid(&sid);
    app.open(&sid);
    assert!(row(&mut app, &sid).version > before);
}
