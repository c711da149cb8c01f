//! Values and keys that are refused.

use session_timeout_tests::{error_of, param};

use crate::support::{SessionCalls, app, assert_refused, own_database, parameter_value};

/// What is no time for any parameter.
const NO_TIMES: [&str; 18] = [
    "",
    " ",
    "abc",
    "two hours",
    "2 fortnights",
    "infinity",
    "-infinity",
    "NaN",
    "1e3",
    "0x10",
    "7,200",
    "5 minutes!",
    "1:2:3:4",
    "01:60",
    "2024-01-01",
    "1 hour 2 hours",
    "P",
    "\u{ff11}",
];

#[test]
fn a_delay_that_is_no_time_is_refused() {
    assert_refused(param::DELAY, &NO_TIMES, "for example 7200 or 15 minutes");
}

#[test]
fn an_absolute_delay_that_is_no_time_is_refused() {
    assert_refused(param::ABSOLUTE_DELAY, &NO_TIMES, "for example 7200 or 15 minutes");
}

#[test]
fn a_warning_that_is_no_time_is_refused() {
    assert_refused(param::WARNING, &NO_TIMES, "0 or more, for example 300 or 5 minutes");
}

#[test]
fn a_negative_warning_is_refused() {
    assert_refused(param::WARNING, &["-1", "-5 minutes", "1 hour -61 minutes"], "0 or more");
}

#[test]
fn a_flush_interval_that_is_no_time_is_refused() {
    assert_refused(
        param::FLUSH_INTERVAL,
        &NO_TIMES,
        "greater than 0, for example 60 or 1 minute",
    );
}

#[test]
fn a_flush_interval_that_is_not_positive_is_refused() {
    assert_refused(
        param::FLUSH_INTERVAL,
        &["0", "-1", "0.0000001", "1 min ago"],
        "greater than 0",
    );
}

#[test]
fn a_purge_interval_that_is_no_time_is_refused() {
    assert_refused(
        param::PURGE_INTERVAL,
        &NO_TIMES,
        "greater than 0, for example 60 or 1 minute",
    );
}

#[test]
fn a_purge_interval_that_is_not_positive_is_refused() {
    assert_refused(param::PURGE_INTERVAL, &["0", "-1", "00:00", "-1 day"], "greater than 0");
}

#[test]
fn an_event_retention_that_is_no_time_is_refused() {
    assert_refused(
        param::EVENT_RETENTION,
        &NO_TIMES,
        "for example 30 days; 0 keeps no events",
    );
}

#[test]
fn a_negative_event_retention_is_refused() {
    assert_refused(param::EVENT_RETENTION, &["-1", "-30 days"], "0 or more");
}

#[test]
fn a_mode_that_there_is_not_is_refused() {
    assert_refused(
        param::IGNORED_URL_MODE,
        &["", "skip", "SKIP_CHECK", "no-refresh", "skip_check,no_refresh", "0"],
        "Specify skip_check",
    );
}

#[test]
fn an_ignored_url_that_is_no_path_is_refused() {
    assert_refused(
        param::IGNORED_URL,
        &["websocket", "/a, b", "https://host/a", "/a\n.b"],
        "separated by commas or newlines",
    );
}

#[test]
fn a_refused_value_leaves_no_other_row_changed() {
    let database = own_database();
    let mut admin = database.connect();
    let error = error_of(admin.execute("UPDATE session_timeout.config_parameter SET value = '90'", &[]));
    assert_eq!(error.sqlstate, "22023");
    assert_eq!(parameter_value(&mut admin, param::DELAY).as_deref(), Some("7200"));
}

#[test]
fn a_null_key_is_refused_by_set_param() {
    let error = error_of(app().execute("SELECT session_timeout.set_param(NULL, '60')", &[]));
    assert_eq!(error.sqlstate, "22023");
    assert!(error.hint.contains("inactive_session_time_out_"), "{error}");
}

#[test]
fn other_keys_are_stored_as_they_are() {
    let database = own_database();
    let mut admin = database.connect();
    for (key, value) in [
        ("web.base.url", "https://host"),
        ("delay", " 7200 minuts "),
        ("Inactive_session_time_out_delay", "abc"),
        ("inactive_session_time_out", ""),
        ("", "\u{1f511}"),
    ] {
        admin.write(
            "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, $2)",
            &[&key, &value],
        );
        assert_eq!(parameter_value(&mut admin, key).as_deref(), Some(value), "{key:?}");
    }
}

#[test]
fn two_rows_of_one_key_are_refused() {
    let database = own_database();
    let mut admin = database.connect();
    let insert = "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('mine', 'x')";
    admin.run(insert);
    assert_eq!(error_of(admin.batch_execute(insert)).sqlstate, "23505");
}
