//! A session that is not open.

use crate::support::{SessionCalls, app, new_sid, unique};

#[test]
fn a_session_never_opened_is_not_valid() {
    assert!(!app().check(&new_sid()));
}

#[test]
fn a_session_never_opened_is_unknown() {
    let verdict = app().verdict(&new_sid());
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "unknown");
}

#[test]
fn a_verdict_of_an_unknown_session_is_otherwise_empty() {
    let verdict = app().verdict(&new_sid());
    assert_eq!(
        (verdict.user_name, verdict.opened_at, verdict.last_activity),
        (None, None, None)
    );
    assert_eq!(
        (verdict.expires_at, verdict.expires_in, verdict.warn),
        (None, None, false)
    );
}

#[test]
fn an_open_session_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn a_session_open_under_another_sid_lets_nobody_else_in() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(!app.check(&sid.to_uppercase()));
}

#[test]
fn a_closed_session_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert!(!app.check(&sid));
}

#[test]
fn a_revoked_session_is_not_valid() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open_as(&sid, &user);
    app.close_user(&user);
    assert!(!app.check(&sid));
}

#[test]
fn a_closed_session_is_soon_unknown() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert_eq!(app.verdict(&sid).status, "unknown");
}
