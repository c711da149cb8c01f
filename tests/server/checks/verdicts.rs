//! What `session_verdict` says.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::param;

use super::IGNORED;
use crate::support::{DELAY, SessionCalls, app, assert_about, new_sid, own_database};

#[test]
fn a_valid_session_is_active() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let verdict = app.verdict(&sid);
    assert!(verdict.valid);
    assert_eq!(verdict.status, "active");
}

#[test]
fn a_valid_session_on_an_ignored_url_is_ignored() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let verdict = app.verdict_url(&sid, IGNORED);
    assert!(verdict.valid);
    assert_eq!(verdict.status, "ignored");
}

#[test]
fn a_session_found_idle_for_too_long_is_idle_expired() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let verdict = app.verdict(&sid);
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "idle_expired");
}

#[test]
fn a_session_found_too_old_is_absolute_expired() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    let verdict = app.verdict(&sid);
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "absolute_expired");
}

#[test]
fn an_expired_session_whose_row_is_gone_is_unknown() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.verdict(&sid);
    assert_eq!(app.verdict(&sid).status, "unknown");
}

#[test]
fn every_check_names_the_limit_while_an_expired_row_is_there() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.run("BEGIN READ ONLY");
    assert_eq!(app.verdict(&sid).status, "idle_expired");
    assert_eq!(app.verdict(&sid).status, "idle_expired");
}

#[test]
fn a_verdict_names_the_user() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "J\u{f6}rg O'Neill");
    assert_eq!(app.verdict(&sid).user_name.as_deref(), Some("J\u{f6}rg O'Neill"));
}

#[test]
fn the_verdict_that_expires_a_session_still_shows_whose_it_was() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.has_been_idle(&sid, "3 hours");
    assert_eq!(app.verdict(&sid).user_name.as_deref(), Some("somebody"));
}

#[test]
fn a_verdict_shows_both_clocks() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "5 hours");
    app.has_been_idle(&sid, "20 seconds");
    let (verdict, row) = (app.verdict(&sid), app.stored(&sid).expect("a row"));
    assert_eq!(verdict.opened_at, Some(row.opened_at));
    assert_eq!(verdict.last_activity, Some(row.last_activity));
}

#[test]
fn after_a_touch_a_verdict_shows_the_new_activity() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let verdict = app.verdict(&sid);
    assert_eq!(verdict.last_activity, app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn after_a_touch_a_verdict_shows_the_new_end() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    assert_about(app.verdict(&sid).expires_in, DELAY);
}

#[test]
fn a_session_expires_when_the_delay_has_passed_since_its_last_activity() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn a_session_expires_when_its_absolute_delay_has_passed_where_that_is_sooner() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("3 hours"));
    app.was_opened_ago(&sid, "2 hours");
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::hours(3)));
}

#[test]
fn expires_in_is_what_is_left_until_expires_at() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    assert_about(app.peek(&sid).expires_in, TimeDelta::hours(1));
}

#[test]
fn expires_in_of_an_expired_session_is_negative() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert_about(app.peek(&sid).expires_in, -TimeDelta::hours(1));
}

#[test]
fn with_no_limit_in_force_a_session_has_no_end() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let verdict = app.verdict(&sid);
    assert_eq!(
        (verdict.expires_at, verdict.expires_in, verdict.warn),
        (None, None, false)
    );
}

#[test]
fn warn_turns_true_five_minutes_before_the_end() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "116 minutes");
    assert!(app.verdict_url(&sid, IGNORED).warn);
}

#[test]
fn warn_is_false_until_then() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "114 minutes");
    assert!(!app.verdict_url(&sid, IGNORED).warn);
}

#[test]
fn a_touch_ends_the_warning() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "116 minutes");
    assert!(!app.verdict(&sid).warn);
}

#[test]
fn an_absolute_end_is_warned_of_too() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "56 minutes");
    assert!(app.verdict(&sid).warn);
}

#[test]
fn an_expired_session_is_not_warned() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.verdict(&sid).warn);
}
