//! Login, and a session's own limits.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::{error_of, param};

use super::row;
use crate::support::{DELAY, SessionCalls, app, assert_just_now, new_sid, own_database};

#[test]
fn a_new_session_is_opened_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_just_now(app.peek(&sid).opened_at);
}

#[test]
fn a_new_session_was_active_when_it_was_opened() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let row = row(&mut app, &sid);
    assert_eq!(row.last_activity, row.opened_at);
}

#[test]
fn a_session_may_have_no_user() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(row(&mut app, &sid).user_name, None);
}

#[test]
fn a_user_name_may_have_1024_bytes() {
    let (mut app, sid) = (app(), new_sid());
    let name = "\u{e9}".repeat(512);
    app.open_as(&sid, &name);
    assert_eq!(app.verdict(&sid).user_name, Some(name));
}

#[test]
fn a_user_name_over_1024_bytes_is_refused() {
    let (mut app, sid) = (app(), new_sid());
    for name in ["x".repeat(1025), "\u{e9}".repeat(513)] {
        let error = error_of(app.execute("SELECT session_timeout.open_session($1, $2)", &[&sid, &name]));
        assert_eq!(error.sqlstate, "22023");
        assert!(error.hint.contains("at most 1024 bytes"), "{error}");
        assert_eq!(app.stored(&sid), None, "nothing is left behind");
    }
}

#[test]
fn a_user_name_over_1024_bytes_is_refused_by_close_user_sessions() {
    let name = "x".repeat(1025);
    let error = error_of(app().execute("SELECT session_timeout.close_user_sessions($1)", &[&name]));
    assert_eq!(error.sqlstate, "22023");
    assert!(error.hint.contains("at most 1024 bytes"), "{error}");
}

#[test]
fn an_own_idle_delay_shortens_the_parameters() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("10 minutes"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::minutes(10)));
}

#[test]
fn an_own_idle_delay_cannot_lengthen_the_parameters() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn an_own_idle_delay_counts_where_the_parameter_is_off() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, Some("1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::days(1)));
}

#[test]
fn an_own_absolute_delay_shortens_the_parameters() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, None, Some("10 minutes"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(10)));
}

#[test]
fn an_own_absolute_delay_cannot_lengthen_the_parameters() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, None, Some("1 day"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::hours(1)));
}

#[test]
fn an_own_absolute_delay_counts_where_the_parameter_is_off() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("30 minutes"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(30)));
}

#[test]
fn an_own_limit_of_a_month_is_thirty_days() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, Some("1 month 1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::days(31)));
}

#[test]
fn an_own_limit_that_is_not_positive_is_refused() {
    let mut app = app();
    for limit in [
        "0",
        "-1 second",
        "-1 microsecond",
        "1 month -30 days",
        "1 day -25 hours",
        "-178000000 years",
    ] {
        for (idle, absolute, argument) in [(Some(limit), None, "idle_delay"), (None, Some(limit), "absolute_delay")] {
            let sid = new_sid();
            let error = error_of(app.execute(
                "SELECT session_timeout.open_session($1, NULL, $2::text::interval, $3::text::interval)",
                &[&sid, &idle, &absolute],
            ));
            assert_eq!(error.sqlstate, "22023", "{argument} {limit}");
            assert!(error.message.contains(argument), "{error}");
            assert!(!error.hint.is_empty(), "{error}");
            assert_eq!(app.stored(&sid), None, "nothing is left behind");
        }
    }
}

#[test]
fn the_smallest_positive_limit_is_accepted() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 month -29 days -23:59:59.999999"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::microseconds(1)));
}

#[test]
fn a_limit_beyond_all_time_never_ends() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let mut app = database.connect();
    let mut limits = vec!["178000000 years"];
    if app.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) >= 170_000 {
        limits.push("infinity");
    }
    for limit in limits {
        let sid = new_sid();
        app.open_limited(&sid, Some(limit), Some(limit));
        app.was_opened_ago(&sid, "100 years");
        app.has_been_idle(&sid, "100 years");
        assert!(app.check(&sid), "{limit}");
    }
}
