//! Parameters and limits that could have no effect are refused.

use session_timeout_tests::{error_of, param};

use crate::support::{SessionCalls, app, assert_refused, connect_hearing, new_sid, own_database, parameter_value};

#[test]
fn a_positive_time_that_rounds_to_zero_is_refused() {
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
fn a_time_that_rounds_to_zero_is_refused_in_a_restore_by_copy() {
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
fn a_time_stored_earlier_that_rounds_to_zero_is_the_shortest_limit() {
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
            for (parameter, _) in param::DEFAULTS {
                assert!(error.hint.contains(parameter), "{way}, {key:?}: {error}");
            }
            assert_eq!(parameter_value(&mut admin, key), None, "{way}, {key:?}");
        }
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
fn an_entry_that_does_not_begin_with_a_slash_or_star_is_refused() {
    let database = own_database();
    let mut admin = database.connect();
    for list in [
        "websocket",
        "/a,b",
        "https://host/a",
        "?x",
        "/a\n#b",
        "\u{e9}",
        "/a,\"/b\"",
    ] {
        let error = error_of(admin.execute(
            "SELECT session_timeout.set_param($1, $2)",
            &[&param::IGNORED_URL, &list],
        ));
        assert_eq!(error.sqlstate, "22023", "{list:?}");
        assert!(error.hint.contains("for example /longpolling/*,/websocket"), "{error}");
    }
}
