//! The limits, in the order in which a check looks at them: the age, ignored urls (see also `ignored_urls`), idleness.

use session_timeout_tests::param;

use super::IGNORED;
use crate::support::{DELAY, InFlight, SessionCalls, app, assert_about, assert_just_now, new_sid, own_database};

#[test]
fn a_session_older_than_its_absolute_delay_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    assert!(!app.check(&sid));
}

#[test]
fn a_session_younger_than_its_absolute_delay_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "59 minutes");
    assert!(app.check(&sid));
}

#[test]
fn the_absolute_delay_counts_on_ignored_urls_too() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    assert!(!app.check_url(&sid, IGNORED));
}

#[test]
fn without_an_absolute_delay_age_is_no_matter() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "20 years");
    assert!(app.check(&sid));
}

#[test]
fn the_absolute_delay_is_looked_at_before_the_idle_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 hour"), Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    app.has_been_idle(&sid, "61 minutes");
    assert_eq!(app.verdict(&sid).status, "absolute_expired");
}

#[test]
fn under_skip_check_the_delay_is_not_evaluated_on_an_ignored_url() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(app.check_url(&sid, IGNORED));
}

#[test]
fn under_skip_check_polling_does_not_save_an_idle_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check_url(&sid, IGNORED);
    assert!(!app.check(&sid));
}

#[test]
fn under_no_refresh_the_delay_is_evaluated_on_an_ignored_url() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.check_url(&sid, IGNORED));
}

#[test]
fn under_no_refresh_an_ignored_url_is_valid_before_the_deadline() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "119 minutes");
    assert_eq!(app.verdict_url(&sid, IGNORED).status, "ignored");
}

#[test]
fn under_no_refresh_an_ignored_url_does_not_touch() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.check_url(&sid, IGNORED);
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn a_session_idle_for_longer_than_the_delay_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7200.1 seconds");
    assert!(!app.check(&sid));
}

#[test]
fn a_session_idle_for_less_than_the_delay_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7170 seconds");
    assert!(app.check(&sid));
}

#[test]
fn a_delay_of_zero_or_less_switches_the_idle_limit_off() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    for delay in ["0", "-1", "-2 hours"] {
        database.set_params(&[(param::DELAY, delay)]);
        app.open(&sid);
        app.has_been_idle(&sid, "20 years");
        assert!(app.check(&sid), "{delay}");
    }
}

#[test]
fn now_is_the_wall_clock_and_not_the_transactions_start() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open_limited(&sid, Some("50 milliseconds"), None);
    app.run("SELECT pg_sleep(0.1)");
    assert!(!app.check(&sid));
}

#[test]
fn activity_in_the_future_counts_as_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    assert_about(app.peek(&sid).expires_in, DELAY);
}

#[test]
fn a_touch_takes_activity_back_from_the_future() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    app.check(&sid);
    let row = app.stored(&sid).expect("a row");
    assert_just_now(Some(row.last_activity));
}

#[test]
fn a_purge_takes_clocks_back_from_the_future() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    app.was_opened_ago(&sid, "-2 days");
    let before = app.stored(&sid).expect("a row");
    assert_eq!(app.purge(), 0);
    let row = app.stored(&sid).expect("a row");
    assert_just_now(Some(row.last_activity));
    assert_just_now(Some(row.opened_at));
    assert!(row.version > before.version);
}

/// Activity that another has written meanwhile is later than the time when the check began, but not in the future.
#[test]
fn a_check_that_has_waited_moves_no_activity_back() {
    let database = own_database();
    let (app, mut other, sid) = (database.connect(), database.connect(), new_sid());
    other.open(&sid);
    other.has_been_idle(&sid, "10 minutes");
    other.run("BEGIN; LOCK TABLE session_timeout.session IN ACCESS EXCLUSIVE MODE");
    let checked = sid.clone();
    let checking = InFlight::start(app, move |client| client.check(&checked));
    checking.is_waiting(&mut database.connect());
    // More than a clock that is ahead is allowed.
    other.run("SELECT pg_sleep(1.1)");
    assert!(other.check(&sid));
    let touched = other.stored(&sid).expect("a row").last_activity;
    assert_just_now(Some(touched));
    other.run("COMMIT");
    assert!(checking.answer());
    assert_eq!(other.stored(&sid).expect("a row").last_activity, touched);
}
