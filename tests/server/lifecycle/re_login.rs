//! Re-authentication: an open session is opened again.

use super::{row, used_session};
use crate::support::{SessionCalls, app, assert_just_now, new_sid};

#[test]
fn opening_an_open_session_again_restarts_its_age() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).opened_at);
}

#[test]
fn opening_an_open_session_again_restarts_its_idle_time() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).last_activity);
}

#[test]
fn opening_an_open_session_again_replaces_the_user() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open_as(&sid, "another");
    assert_eq!(app.peek(&sid).user_name.as_deref(), Some("another"));
}

#[test]
fn opening_an_open_session_again_without_a_user_leaves_it_without_one() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.peek(&sid).user_name, None);
}

#[test]
fn opening_an_open_session_again_replaces_its_limits() {
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
fn opening_an_open_session_again_gives_it_a_new_version() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    let before = row(&mut app, &sid).version;
    app.open(&sid);
    assert!(row(&mut app, &sid).version > before);
}

#[test]
fn opening_an_open_session_again_ends_none() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn opening_an_idle_expired_session_again_writes_the_old_ones_event() {
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
fn opening_an_absolute_expired_session_again_writes_the_old_ones_event() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.was_opened_ago(&sid, "11 hours");
    app.open(&sid);
    assert_eq!(app.event_kinds(&sid), ["absolute_expired"]);
}

#[test]
fn opening_an_expired_session_again_opens_it() {
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
