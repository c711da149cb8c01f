//! How times are read.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::param;

use crate::support::{SessionCalls, TIME_PARAMETERS, new_sid, own_database, parameter_value};

/// The microseconds that PostgreSQL reads in an interval, a month being 30 days.
const MICROSECONDS_IN_POSTGRESQL: &str = "
    SELECT (((extract(year FROM i) * 12 + extract(month FROM i)) * 30 + extract(day FROM i)) * 86400000000
          + (extract(hour FROM i) * 3600 + extract(minute FROM i) * 60 + extract(second FROM i)) * 1000000)::bigint
    FROM (SELECT $1::text::interval AS i) AS given";

#[test]
fn a_time_is_read_as_postgresql_reads_an_interval() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    for text in [
        "7200",
        "1",
        "0.5",
        "  60  ",
        "15 minutes",
        "15min",
        "90 sec",
        "1 hour 30 minutes",
        "1h30m",
        "2 hrs",
        "1 day",
        "3 weeks",
        "1 mon",
        "1 month",
        "2 months 3 days",
        "1 year",
        "1 year 2 mons 3 days 04:05:06.789",
        "01:30",
        "01:30:15",
        "30:00.5",
        "100:00:00",
        "1 12:00",
        "1 day, 2:00:00",
        "@ 5 minutes",
        "-5 minutes ago",
        "1 day -1 hour",
        "-1 hour +2 days",
        "1.5 hours",
        "0.25 days",
        "1.5 weeks",
        "1.5 months",
        "1500 ms",
        "2500000 us",
        "5 MINUTES",
        "1 Day 2 HOURS",
        "P1DT2H3M",
        "P1Y2M3W4DT5H6M7.5S",
        "PT15M",
        "P1M",
        "PT0.5S",
        "0.000001",
        "1000 years",
    ] {
        let expected: i64 = app.value(MICROSECONDS_IN_POSTGRESQL, &[&text]);
        app.set_param(param::DELAY, Some(text));
        let limit = app.peek(&sid).idle_limit();
        assert_eq!(limit, Some(TimeDelta::microseconds(expected)), "{text:?}");
    }
}

#[test]
fn a_time_that_postgresql_reads_as_zero_or_less_switches_a_limit_off() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    for text in [
        "0",
        "-0",
        "0 minutes",
        "-1",
        "-5 minutes",
        "5 minutes ago",
        "1 day -24 hours",
        "1 month -30 days",
        "-00:00:01",
        "PT-1S",
        "-178000000 years",
    ] {
        let is_positive: bool = app.value("SELECT $1::text::interval > interval '0'", &[&text]);
        assert!(!is_positive, "{text:?}");
        app.set_param(param::DELAY, Some(text));
        assert_eq!(app.peek(&sid).expires_at, None, "{text:?}");
    }
}

#[test]
fn every_parameter_that_is_a_time_takes_seconds_and_intervals() {
    let database = own_database();
    let mut admin = database.connect();
    for key in TIME_PARAMETERS {
        for value in [
            "90",
            " 90 ",
            "1.5 minutes",
            "00:01:30",
            "PT1M30S",
            "1 month",
            "1000000 years",
        ] {
            admin.set_param(key, Some(value));
            assert_eq!(parameter_value(&mut admin, key).as_deref(), Some(value), "{key}");
        }
    }
}

#[test]
fn a_delay_beyond_all_time_never_ends() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    for delay in ["178000000 years", "99999999999999999999", "9223372036854775807 us"] {
        database.set_params(&[(param::DELAY, delay), (param::ABSOLUTE_DELAY, delay)]);
        app.has_been_idle(&sid, "20 years");
        assert!(app.check(&sid), "{delay}");
        let end: String = app.value("SELECT expires_at::text FROM session_timeout.peek_session($1)", &[&sid]);
        assert_eq!(end, "infinity", "{delay}");
    }
}

#[test]
fn an_end_beyond_what_a_timestamp_can_hold_never_comes() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    // A day after the last time that PostgreSQL has, and a week before the largest number of microseconds.
    let delay: String = app.value(
        "SELECT (9223371331200000000 + 86400000000 \
               - (extract(epoch FROM last_activity - timestamptz '2000-01-01 00:00+00') * 1000000)::bigint)::text || ' us' \
         FROM session_timeout.peek_session($1)",
        &[&sid],
    );
    app.set_param(param::DELAY, Some(&delay));
    let end: String = app.value("SELECT expires_at::text FROM session_timeout.peek_session($1)", &[&sid]);
    assert_eq!(end, "infinity", "{delay}");
}
