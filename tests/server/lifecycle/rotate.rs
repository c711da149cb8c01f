//! Rotation to a new session id.

use session_timeout_tests::error_of;

use super::{row, used_session};
use crate::support::{SessionCalls, app, new_sid};

#[test]
fn a_rotated_session_is_valid_under_its_new_sid() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    assert!(app.rotate(&old, &new));
    assert!(app.check(&new));
}

#[test]
fn a_rotated_session_is_unknown_under_its_old_sid() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.verdict(&old).status, "unknown");
}

#[test]
fn rotation_keeps_both_clocks() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    let before = row(&mut app, &old);
    app.rotate(&old, &new);
    let after = row(&mut app, &new);
    assert_eq!(after.opened_at, before.opened_at);
    assert_eq!(after.last_activity, before.last_activity);
}

#[test]
fn rotation_keeps_the_user() {
    let (mut app, new) = (app(), new_sid());
    let (old, user) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.peek(&new).user_name, Some(user));
}

#[test]
fn rotation_keeps_the_sessions_own_limits() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    let row = row(&mut app, &new);
    assert_eq!(row.idle_delay.as_deref(), Some("01:00:00"));
    assert_eq!(row.absolute_delay.as_deref(), Some("10:00:00"));
}

#[test]
fn rotation_gives_a_new_version() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    let before = row(&mut app, &old).version;
    app.rotate(&old, &new);
    assert!(row(&mut app, &new).version > before);
}

#[test]
fn rotation_writes_no_event() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!((app.events(&old), app.events(&new)), (vec![], vec![]));
}

#[test]
fn a_sid_that_is_not_open_cannot_be_rotated() {
    let (mut app, old, new) = (app(), new_sid(), new_sid());
    assert!(!app.rotate(&old, &new));
    assert!(!app.check(&new), "it opens nothing");
}

#[test]
fn an_expired_session_cannot_be_rotated() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.has_been_idle(&old, "2 hours");
    assert!(!app.rotate(&old, &new));
    assert!(!app.check(&new), "it opens nothing");
}

#[test]
fn an_expired_session_that_a_rotation_finds_is_expired() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.has_been_idle(&old, "2 hours");
    app.rotate(&old, &new);
    assert_eq!(app.event_kinds(&old), ["idle_expired"]);
}

#[test]
fn a_session_cannot_be_rotated_onto_an_open_one() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    let error = error_of(app.execute("SELECT session_timeout.rotate_session($1, $2)", &[&old, &new]));
    assert_eq!(error.sqlstate, "23505");
    assert!(!error.hint.is_empty(), "{error}");
}

#[test]
fn a_refused_rotation_leaves_both_sessions_as_they_were() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    let before = (app.stored(&old), app.stored(&new));
    error_of(app.execute("SELECT session_timeout.rotate_session($1, $2)", &[&old, &new]));
    assert_eq!((app.stored(&old), app.stored(&new)), before);
}

#[test]
fn a_session_cannot_be_rotated_onto_itself() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    let error = error_of(app.execute("SELECT session_timeout.rotate_session($1, $1)", &[&sid]));
    assert_eq!(error.sqlstate, "23505");
}

#[test]
fn a_session_can_be_rotated_onto_an_expired_one() {
    let mut app = app();
    let ((old, user), (new, _)) = (used_session(&mut app), used_session(&mut app));
    app.has_been_idle(&new, "2 hours");
    assert!(app.rotate(&old, &new));
    assert_eq!(app.verdict(&new).user_name, Some(user));
}

#[test]
fn an_expired_session_that_another_is_rotated_onto_is_expired() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    app.has_been_idle(&new, "2 hours");
    app.rotate(&old, &new);
    assert_eq!(app.event_kinds(&new), ["idle_expired"]);
}

#[test]
fn a_session_can_be_rotated_onto_a_sid_that_was_closed() {
    let (mut app, closed) = (app(), new_sid());
    app.open(&closed);
    app.close_sid(&closed);
    let (old, _) = used_session(&mut app);
    assert!(app.rotate(&old, &closed));
}

#[test]
fn a_session_can_be_rotated_again_and_back() {
    let (mut app, second) = (app(), new_sid());
    let (first, _) = used_session(&mut app);
    assert!(app.rotate(&first, &second));
    assert!(app.rotate(&second, &first));
    assert!(app.check(&first));
}
