//! Closing one session, and all of a user.

use super::used_session;
use crate::support::{SessionCalls, app, new_sid, unique};

#[test]
fn closing_answers_true_only_once() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.close_sid(&sid));
    assert!(!app.close_sid(&sid));
}

#[test]
fn closing_what_was_never_opened_answers_false() {
    assert!(!app().close_sid(&new_sid()));
}

#[test]
fn closing_a_session_leaves_others_open() {
    let (mut app, sid, other) = (app(), new_sid(), new_sid());
    app.open(&sid);
    app.open(&other);
    app.close_sid(&sid);
    assert!(app.check(&other));
}

#[test]
fn a_session_past_its_deadline_that_nobody_has_expired_can_be_closed() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(app.close_sid(&sid));
}

#[test]
fn closing_a_session_that_was_found_expired_answers_false() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert!(!app.close_sid(&sid));
}

#[test]
fn close_user_sessions_closes_all_of_a_user() {
    let (mut app, user) = (app(), unique("user"));
    let sids = [new_sid(), new_sid(), new_sid()];
    for sid in &sids {
        app.open_as(sid, &user);
    }
    app.close_user(&user);
    assert_eq!(sids.map(|sid| app.check(&sid)), [false; 3]);
}

#[test]
fn close_user_sessions_answers_how_many_it_closed() {
    let (mut app, user) = (app(), unique("user"));
    for _ in 0..3 {
        app.open_as(&new_sid(), &user);
    }
    assert_eq!(app.close_user(&user), 3);
    assert_eq!(app.close_user(&user), 0);
}

#[test]
fn close_user_sessions_leaves_those_of_others() {
    let (mut app, user) = (app(), unique("user"));
    let (upper, none) = (new_sid(), new_sid());
    app.open_as(&upper, &user.to_uppercase());
    app.open(&none);
    app.close_user(&user);
    assert!(app.check(&upper), "another name");
    assert!(app.check(&none), "no name");
}

#[test]
fn close_user_sessions_spares_the_session_excepted() {
    let (mut app, user, spared, other) = (app(), unique("user"), new_sid(), new_sid());
    app.open_as(&spared, &user);
    app.open_as(&other, &user);
    let closed: i64 = app.value("SELECT session_timeout.close_user_sessions($1, $2)", &[&user, &spared]);
    assert_eq!(closed, 1);
    assert!(app.check(&spared));
    assert!(!app.check(&other));
}

#[test]
fn close_user_sessions_excepting_no_session_of_that_user_closes_all() {
    let (mut app, user) = (app(), unique("user"));
    for except in [None, Some(""), Some("never opened")] {
        app.open_as(&new_sid(), &user);
        let closed: i64 = app.value("SELECT session_timeout.close_user_sessions($1, $2)", &[&user, &except]);
        assert_eq!(closed, 1, "{except:?}");
    }
}

#[test]
fn close_user_sessions_without_a_user_closes_none() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let closed: i64 = app.value("SELECT session_timeout.close_user_sessions(NULL)", &[]);
    assert_eq!(closed, 0);
    assert!(app.check(&sid));
}

#[test]
fn close_user_sessions_finds_a_session_by_the_user_it_was_last_opened_for() {
    let (mut app, first, second, sid) = (app(), unique("user"), unique("user"), new_sid());
    app.open_as(&sid, &first);
    app.open_as(&sid, &second);
    assert_eq!(app.close_user(&first), 0);
    assert_eq!(app.close_user(&second), 1);
}

#[test]
fn close_user_sessions_finds_a_rotated_session() {
    let (mut app, new) = (app(), new_sid());
    let (old, user) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.close_user(&user), 1);
}
