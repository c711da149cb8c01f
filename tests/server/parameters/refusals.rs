//! Values and keys that are refused.

use session_timeout_tests::{error_of, param};

use super::{ALL, stored};
use crate::support::{SessionCalls, app, connect_hearing, new_sid, own_database};

/// Refused by set_param, by UPDATE and by INSERT: with 22023, with a hint that names what is allowed, and with nothing
/// left behind.
#[track_caller]
fn assert_refused(key: &str, values: &[&str], hint: &str) {
    let database = own_database();
    let (mut admin, mut app, sid) = (database.connect(), database.connect(), new_sid());
    app.open(&sid);
    let before = (stored(&mut admin, key), app.peek(&sid).expires_at);
    let ways = [
        "SELECT session_timeout.set_param($1, $2)",
        "UPDATE session_timeout.config_parameter SET value = $2 WHERE key = $1",
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, $2)",
    ];
    for value in values {
        for way in ways {
            let error = error_of(admin.execute(way, &[&key, value]));
            assert_eq!(error.sqlstate, "22023", "{way}, {value:?}: {error}");
            assert!(error.message.contains(key), "{way}, {value:?}: {error}");
            assert!(error.hint.contains(hint), "{way}, {value:?}: {error}");
            let after = (stored(&mut admin, key), app.peek(&sid).expires_at);
            assert_eq!(after, before, "{way}, {value:?}");
        }
    }
}

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
fn a_positive_time_that_would_be_rounded_to_zero_is_refused() {
    for (key, hint) in [
        (param::DELAY, "0 or less disables the limit"),
        (param::ABSOLUTE_DELAY, "0 or less disables the limit"),
        (param::WARNING, "for example 300"),
        (param::FLUSH_INTERVAL, "greater than 0"),
        (param::PURGE_INTERVAL, "greater than 0"),
        (param::EVENT_RETENTION, "0 keeps no events"),
    ] {
        assert_refused(key, &["0.0000004", "0.4 microseconds", "0.04 years"], hint);
    }
}

#[test]
fn such_a_time_is_refused_in_a_restore_by_copy_too() {
    use std::io::Write;
    let database = own_database();
    let mut admin = database.connect();
    admin.set_param(param::DELAY, None);
    let mut copy = admin
        .copy_in("COPY session_timeout.config_parameter (key, value) FROM STDIN")
        .expect("a COPY begins");
    let sent = copy
        .write_all(b"inactive_session_time_out_delay\t0.0000004\n")
        .map_err(|error| panic!("{error}"))
        .and_then(|()| copy.finish());
    assert_eq!(error_of(sent).sqlstate, "22023");
}

#[test]
fn such_a_time_that_an_earlier_version_has_stored_is_the_shortest_and_not_no_limit() {
    let database = own_database();
    let (mut admin, sid) = (database.connect(), new_sid());
    admin.run("ALTER TABLE session_timeout.config_parameter DISABLE TRIGGER parameter_before_write");
    admin.run(
        "UPDATE session_timeout.config_parameter SET value = '0.0000004' WHERE key = 'inactive_session_time_out_delay'",
    );
    admin.run("ALTER TABLE session_timeout.config_parameter ENABLE ALWAYS TRIGGER parameter_before_write");
    admin.open(&sid);
    let limit: String = admin.value(
        "SELECT (expires_at - last_activity)::text FROM session_timeout.peek_session($1)",
        &[&sid],
    );
    assert_eq!(limit, "00:00:00.000001");
}

#[test]
fn an_own_limit_that_is_zero_in_the_end_is_refused() {
    let mut app = app();
    for limit in [
        "0.4 microseconds",
        "0.04 years",
        "1 month -30 days",
        "1 day -24 hours",
        "-1 month 29 days",
    ] {
        for arguments in [
            "idle_delay => $2::text::interval",
            "absolute_delay => $2::text::interval",
        ] {
            let open = format!("SELECT session_timeout.open_session($1, {arguments})");
            assert_eq!(
                error_of(app.execute(&*open, &[&new_sid(), &limit])).sqlstate,
                "22023",
                "{limit}"
            );
        }
    }
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
    assert_eq!(stored(&mut admin, param::DELAY).as_deref(), Some("7200"));
}

#[test]
fn a_key_of_ours_that_does_not_exist_is_refused() {
    let database = own_database();
    let mut admin = database.connect();
    for key in [
        "inactive_session_time_out_",
        "inactive_session_time_out_dely",
        "inactive_session_time_out_DELAY",
        "inactive_session_time_out_delay ",
        "inactive_session_time_out_delay2",
    ] {
        for way in [
            "SELECT session_timeout.set_param($1, '60')",
            "SELECT session_timeout.set_param($1, NULL)",
            "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, '60')",
            "UPDATE session_timeout.config_parameter SET key = $1 WHERE value = '7200'",
        ] {
            let error = error_of(admin.execute(way, &[&key]));
            assert_eq!(error.sqlstate, "22023", "{way}, {key:?}");
            for parameter in ALL {
                assert!(error.hint.contains(parameter), "{way}, {key:?}: {error}");
            }
            assert_eq!(stored(&mut admin, key), None, "{way}, {key:?}");
        }
    }
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
        assert_eq!(stored(&mut admin, key).as_deref(), Some(value), "{key:?}");
    }
}

#[test]
fn a_key_that_is_almost_ours_is_stored_with_a_warning() {
    let database = own_database();
    let (mut admin, notices) = connect_hearing(&database);
    let key = "inactive_session_timeout_delay";
    for (way, warns) in [
        ("SELECT session_timeout.set_param($1, '60')", true),
        ("SELECT session_timeout.set_param($1, NULL)", false),
        (
            "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, '60')",
            true,
        ),
        (
            "UPDATE session_timeout.config_parameter SET value = '90' WHERE key = $1",
            true,
        ),
        ("DELETE FROM session_timeout.config_parameter WHERE key = $1", false),
    ] {
        admin.execute(way, &[&key]).expect("it is stored as it is");
        let said = std::mem::take(&mut *notices.lock().expect("unpoisoned"));
        let said: Vec<_> = said.iter().map(|n| (n.code().code(), n.message(), n.hint())).collect();
        let warning = (
            "01000",
            "\"inactive_session_timeout_delay\" is not a parameter and has no effect",
            Some("Perhaps you meant \"inactive_session_time_out_delay\"."),
        );
        assert_eq!(said, if warns { vec![warning] } else { vec![] }, "{way}");
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
