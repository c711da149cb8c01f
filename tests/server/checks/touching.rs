//! The touch: what a request that counts writes, and when.

use crate::support::{SessionCalls, app, assert_just_now, new_sid};

#[test]
fn a_request_that_counts_moves_activity_to_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.check_url(&sid, "/web");
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn a_touch_changes_nothing_else() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid).expect("a row");
    app.check(&sid);
    let after = app.stored(&sid).expect("a row");
    assert_eq!((after.user_name, after.opened_at), (before.user_name, before.opened_at));
    assert_eq!(after.version, before.version, "a touch is no login");
}

#[test]
fn a_request_without_a_url_counts() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.value::<bool>("SELECT session_timeout.check_session($1, NULL)", &[&sid]);
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn a_request_with_an_empty_url_counts() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.check_url(&sid, "");
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn session_verdict_touches_as_check_session_does() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.verdict(&sid);
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

/// Whether a check after so long an idle time writes the row.
#[track_caller]
fn is_written(idle_delay: Option<&str>, idle: &str) -> bool {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, idle_delay, None);
    app.has_been_idle(&sid, idle);
    let before = app.stored(&sid);
    assert!(app.check(&sid));
    app.stored(&sid) != before
}

#[test]
fn without_preload_activity_younger_than_a_minute_is_left() {
    assert!(!is_written(None, "20 seconds"));
}

#[test]
fn without_preload_activity_older_than_a_minute_is_written() {
    assert!(is_written(None, "61 seconds"));
}

#[test]
fn without_preload_activity_younger_than_a_hundredth_of_the_delay_is_left() {
    assert!(!is_written(Some("5000 seconds"), "20 seconds"));
}

#[test]
fn without_preload_activity_older_than_a_hundredth_of_the_delay_is_written() {
    assert!(is_written(Some("5000 seconds"), "51 seconds"));
}
