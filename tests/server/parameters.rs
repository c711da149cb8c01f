//! The parameters: what they may be, and when a change counts.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{error_of, param};

use crate::support::{
    DELAY, ISOLATION_LEVELS, OwnDatabase, SessionCalls, app, assert_about, assert_just_now, connect_hearing, new_sid,
    own_database,
};

const ALL: [&str; 8] = [
    param::DELAY,
    param::IGNORED_URL,
    param::IGNORED_URL_MODE,
    param::ABSOLUTE_DELAY,
    param::WARNING,
    param::FLUSH_INTERVAL,
    param::PURGE_INTERVAL,
    param::EVENT_RETENTION,
];

const TIMES: [&str; 6] = [
    param::DELAY,
    param::ABSOLUTE_DELAY,
    param::WARNING,
    param::FLUSH_INTERVAL,
    param::PURGE_INTERVAL,
    param::EVENT_RETENTION,
];

const HOUR: TimeDelta = TimeDelta::hours(1);

/// The value of a parameter's row.
fn stored(client: &mut Client, key: &str) -> Option<String> {
    client
        .query_opt(
            "SELECT value FROM session_timeout.config_parameter WHERE key = $1",
            &[&key],
        )
        .expect("the parameter's row")
        .map(|row| row.get(0))
}

/// A database without parameter rows, and a session in it.
fn without_rows() -> (OwnDatabase, Client, String) {
    let database = own_database();
    database.execute("DELETE FROM session_timeout.config_parameter");
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    (database, app, sid)
}

// ---- Defaults --------------------------------------------------------------------------------------------------------

#[test]
fn the_install_script_writes_every_parameters_default() {
    let mut app = app();
    let rows = app.query(
        "SELECT key, value FROM session_timeout.config_parameter ORDER BY id",
        &[],
    );
    let rows: Vec<(String, String)> = rows
        .expect("the parameters")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let expected = [
        ("inactive_session_time_out_delay", "7200"),
        (
            "inactive_session_time_out_ignored_url",
            "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
        ),
        ("inactive_session_time_out_ignored_url_mode", "skip_check"),
        ("inactive_session_time_out_absolute_delay", "0"),
        ("inactive_session_time_out_warning", "300"),
        ("inactive_session_time_out_flush_interval", "60"),
        ("inactive_session_time_out_purge_interval", "60"),
        ("inactive_session_time_out_event_retention", "30 days"),
    ];
    assert_eq!(rows, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn without_a_row_the_delay_is_two_hours() {
    let (_database, mut app, sid) = without_rows();
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn without_a_row_the_default_urls_are_ignored() {
    let (_database, mut app, sid) = without_rows();
    assert_eq!(app.verdict_url(&sid, "/longpolling/im_status").status, "ignored");
}

#[test]
fn without_a_row_the_mode_is_skip_check() {
    let (_database, mut app, sid) = without_rows();
    app.has_been_idle(&sid, "3 hours");
    assert!(app.check_url(&sid, "/websocket"));
}

#[test]
fn without_a_row_there_is_no_absolute_delay() {
    let (_database, mut app, sid) = without_rows();
    app.was_opened_ago(&sid, "20 years");
    assert!(app.check(&sid));
}

#[test]
fn without_a_row_the_warning_comes_five_minutes_before_the_end() {
    let (_database, mut app, sid) = without_rows();
    app.has_been_idle(&sid, "114 minutes");
    assert!(!app.peek(&sid).warn);
    app.has_been_idle(&sid, "116 minutes");
    assert!(app.peek(&sid).warn);
}

#[test]
fn without_a_row_events_are_kept_for_thirty_days() {
    let (_database, mut app, sid) = without_rows();
    app.close_sid(&sid);
    for (days, kept) in [(29, 1), (31, 0)] {
        app.run(&format!(
            "UPDATE session_timeout.session_event SET at = clock_timestamp() - interval '{days} days'"
        ));
        app.purge();
        assert_eq!(app.events(&sid).len(), kept, "after {days} days");
    }
}

#[test]
fn setting_a_value_to_its_default_says_the_same_as_no_row() {
    let (_database, mut app, sid) = without_rows();
    let before = app.peek(&sid);
    app.set_param(param::DELAY, Some("7200"));
    assert_eq!(app.peek(&sid).expires_at, before.expires_at);
}

// ---- What each parameter does ----------------------------------------------------------------------------------------

#[test]
fn the_absolute_delay_ends_an_active_session() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "8 hours")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "8 hours 1 minute");
    assert_eq!(app.verdict(&sid).status, "absolute_expired");
}

#[test]
fn an_absolute_delay_of_zero_or_less_is_off() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "20 years");
    for delay in ["0", "-1", "-8 hours"] {
        database.set_params(&[(param::ABSOLUTE_DELAY, delay)]);
        assert!(app.check(&sid), "{delay}");
    }
}

#[test]
fn the_warning_parameter_says_when_warn_turns_true() {
    let database = own_database();
    database.set_params(&[(param::WARNING, "30 minutes")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "89 minutes");
    assert!(!app.peek(&sid).warn);
    app.has_been_idle(&sid, "91 minutes");
    assert!(app.peek(&sid).warn);
}

#[test]
fn a_warning_of_zero_is_none() {
    let database = own_database();
    database.set_params(&[(param::WARNING, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7195 seconds");
    assert!(!app.peek(&sid).warn);
}

// ---- When a change counts --------------------------------------------------------------------------------------------

/// A change of the delay between its default, two hours, and one hour.
struct Change {
    prepare: &'static str,
    change: &'static str,
    before: TimeDelta,
    after: TimeDelta,
}

const UPDATE: Change = Change {
    prepare: "",
    change: "UPDATE session_timeout.config_parameter SET value = '3600' WHERE key = 'inactive_session_time_out_delay'",
    before: DELAY,
    after: HOUR,
};
const INSERT: Change = Change {
    prepare: "DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_delay'",
    change: "INSERT INTO session_timeout.config_parameter (key, value) \
             VALUES ('inactive_session_time_out_delay', '3600')",
    before: DELAY,
    after: HOUR,
};
const DELETE: Change = Change {
    prepare: UPDATE.change,
    change: "DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_delay'",
    before: HOUR,
    after: DELAY,
};
const TRUNCATE: Change = Change {
    prepare: UPDATE.change,
    change: "TRUNCATE session_timeout.config_parameter",
    before: HOUR,
    after: DELAY,
};
const SET_PARAM: Change = Change {
    prepare: "",
    change: "SELECT session_timeout.set_param('inactive_session_time_out_delay', '3600')",
    before: DELAY,
    after: HOUR,
};
const SET_PARAM_NULL: Change = Change {
    prepare: UPDATE.change,
    change: "SELECT session_timeout.set_param('inactive_session_time_out_delay', NULL)",
    before: HOUR,
    after: DELAY,
};

/// A session under the delay that is in force before the change; the connection that opened it has seen that delay.
fn before(change: &Change) -> (OwnDatabase, Client, String) {
    let database = own_database();
    database.execute(change.prepare);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    assert_delay(&mut app, &sid, change.before, "before the change");
    (database, app, sid)
}

#[track_caller]
fn assert_delay(client: &mut Client, sid: &str, expected: TimeDelta, when: &str) {
    assert_eq!(client.peek(sid).idle_limit(), Some(expected), "{when}");
}

/// Another open connection sees the change at its next check, also inside a transaction that it has begun before.
#[track_caller]
fn assert_seen_by_others(change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut observers = vec![("without a transaction", database.connect())];
    for isolation in ISOLATION_LEVELS {
        let mut observer = database.connect();
        observer.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        observers.push((isolation, observer));
    }
    for (observer, client) in &mut observers {
        assert_delay(client, &sid, change.before, observer);
    }
    admin.run(change.change);
    for (observer, client) in &mut observers {
        assert_delay(client, &sid, change.after, observer);
    }
}

/// The transaction that makes the change sees it at once, others not before its commit.
#[track_caller]
fn assert_seen_by_its_own_transaction_alone(change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut other = database.connect();
    assert_delay(&mut other, &sid, change.before, "another connection, before");
    admin.run("BEGIN");
    admin.run(change.change);
    assert_delay(&mut admin, &sid, change.after, "its own transaction");
    assert_delay(&mut other, &sid, change.before, "another connection, before the commit");
}

#[track_caller]
fn assert_undone_by(undo: &str, change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut other = database.connect();
    assert_delay(&mut other, &sid, change.before, "another connection, before");
    admin.run("BEGIN; SAVEPOINT here");
    admin.run(change.change);
    assert_delay(&mut admin, &sid, change.after, "its own transaction");
    admin.run(undo);
    assert_delay(&mut admin, &sid, change.before, "its own transaction, afterwards");
    admin.run("COMMIT");
    assert_delay(&mut admin, &sid, change.before, "its own connection, in the end");
    assert_delay(&mut other, &sid, change.before, "another connection, in the end");
}

/// The same tests for each way to change a parameter.
macro_rules! for_every_way_to_change {
    ($($way:ident: $change:expr;)*) => {$(
        mod $way {
            use super::*;

            #[test]
            fn is_seen_by_others_at_their_next_check() {
                assert_seen_by_others(&$change);
            }

            #[test]
            fn is_seen_at_once_by_its_own_transaction_and_by_others_at_commit() {
                assert_seen_by_its_own_transaction_alone(&$change);
            }

            #[test]
            fn is_taken_back_by_a_rollback() {
                assert_undone_by("ROLLBACK; BEGIN", &$change);
            }

            #[test]
            fn is_taken_back_by_a_rollback_to_a_savepoint() {
                assert_undone_by("ROLLBACK TO here", &$change);
            }
        }
    )*};
}

for_every_way_to_change! {
    a_change_by_update: UPDATE;
    a_change_by_insert: INSERT;
    a_change_by_delete: DELETE;
    a_change_by_truncate: TRUNCATE;
    a_change_by_set_param: SET_PARAM;
    a_change_by_set_param_null: SET_PARAM_NULL;
}

#[test]
fn a_change_counts_for_the_rest_of_its_own_statement() {
    let (_database, mut app, sid) = before(&SET_PARAM);
    let left: i64 = app.value(
        "SELECT extract(epoch FROM (session_timeout.peek_session($1)).expires_at)::bigint \
              - extract(epoch FROM (session_timeout.peek_session($1)).last_activity)::bigint \
         FROM (SELECT session_timeout.set_param('inactive_session_time_out_delay', '3600') OFFSET 0) AS changed",
        &[&sid],
    );
    assert_eq!(left, 3600);
}

#[test]
fn a_shorter_delay_ends_a_live_session_at_its_next_check() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "90 minutes");
    assert!(app.peek(&sid).valid);
    database.set_params(&[(param::DELAY, "1 hour")]);
    assert!(!app.check(&sid));
}

#[test]
fn a_parameter_renamed_away_has_its_default() {
    let (_database, mut app, sid) = before(&DELETE);
    app.run("UPDATE session_timeout.config_parameter SET key = 'mine' WHERE key = 'inactive_session_time_out_delay'");
    assert_delay(&mut app, &sid, DELAY, "renamed");
}

/// A check that is cancelled while it waits to read the parameters must not take the old ones for read.
#[test]
fn a_change_is_seen_also_after_a_check_was_cancelled_while_reading_it() {
    let (database, mut app, sid) = before(&UPDATE);
    database.execute(UPDATE.change);
    let mut maintenance = database.connect();
    maintenance.run("BEGIN; LOCK TABLE session_timeout.config_parameter IN ACCESS EXCLUSIVE MODE");
    app.run("SET lock_timeout = '100ms'");
    let error = error_of(app.execute("SELECT session_timeout.check_session($1)", &[&sid]));
    assert_eq!(error.sqlstate, "55P03", "it waited for the lock: {error}");
    maintenance.run("ROLLBACK");
    assert_delay(&mut app, &sid, HOUR, "the next check");
}

// ---- What is refused -------------------------------------------------------------------------------------------------

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
            assert!(error.message.starts_with(key), "{way}, {value:?}: {error}");
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
fn a_flush_interval_that_is_no_time_is_refused() {
    assert_refused(
        param::FLUSH_INTERVAL,
        &NO_TIMES,
        "more than 0, for example 60 or 1 minute",
    );
}

#[test]
fn a_flush_interval_that_is_not_positive_is_refused() {
    assert_refused(
        param::FLUSH_INTERVAL,
        &["0", "-1", "0.0000001", "1 min ago"],
        "more than 0",
    );
}

#[test]
fn a_purge_interval_that_is_no_time_is_refused() {
    assert_refused(
        param::PURGE_INTERVAL,
        &NO_TIMES,
        "more than 0, for example 60 or 1 minute",
    );
}

#[test]
fn a_purge_interval_that_is_not_positive_is_refused() {
    assert_refused(param::PURGE_INTERVAL, &["0", "-1", "00:00", "-1 day"], "more than 0");
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
        "Give skip_check",
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

// ---- Times -----------------------------------------------------------------------------------------------------------

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
    for key in TIMES {
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
            assert_eq!(stored(&mut admin, key).as_deref(), Some(value), "{key}");
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

// ---- set_param and get_param -----------------------------------------------------------------------------------------

#[test]
fn set_param_returns_the_old_value() {
    let database = own_database();
    let mut admin = database.connect();
    assert_eq!(admin.set_param(param::DELAY, Some("60")).as_deref(), Some("7200"));
}

#[test]
fn set_param_of_a_key_without_a_row_returns_null() {
    let database = own_database();
    assert_eq!(database.connect().set_param("mine", Some("x")), None);
}

#[test]
fn set_param_writes_the_value() {
    let database = own_database();
    let mut admin = database.connect();
    for value in ["first", "second"] {
        admin.set_param("mine", Some(value));
        assert_eq!(stored(&mut admin, "mine").as_deref(), Some(value));
    }
}

#[test]
fn set_param_to_null_deletes_the_row() {
    let database = own_database();
    let mut admin = database.connect();
    admin.set_param(param::DELAY, None);
    assert_eq!(stored(&mut admin, param::DELAY), None);
}

#[test]
fn set_param_to_null_returns_the_old_value() {
    let database = own_database();
    assert_eq!(
        database.connect().set_param(param::DELAY, None).as_deref(),
        Some("7200")
    );
}

#[test]
fn set_param_to_null_of_a_key_without_a_row_returns_null() {
    assert_eq!(app().set_param("never set", None), None);
}

#[test]
fn get_param_returns_the_rows_value() {
    let value: String = app().value("SELECT session_timeout.get_param($1, 'another')", &[&param::DELAY]);
    assert_eq!(value, "7200");
}

#[test]
fn get_param_of_a_key_without_a_row_returns_the_default_value_given() {
    let value: String = app().value("SELECT session_timeout.get_param('never set', 'given')", &[]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_of_a_key_without_a_row_returns_null_where_no_default_is_given() {
    let value: Option<String> = app().value("SELECT session_timeout.get_param('never set')", &[]);
    assert_eq!(value, None);
}

#[test]
fn get_param_of_one_of_our_keys_without_a_row_returns_the_default_value_given() {
    let (_database, mut app, _) = without_rows();
    let value: String = app.value("SELECT session_timeout.get_param($1, 'given')", &[&param::DELAY]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_of_a_null_key_returns_the_default_value_given() {
    let value: String = app().value("SELECT session_timeout.get_param(NULL, 'given')", &[]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_returns_an_empty_value_as_it_is() {
    let database = own_database();
    let mut admin = database.connect();
    admin.set_param("mine", Some(""));
    let value: String = admin.value("SELECT session_timeout.get_param('mine', 'given')", &[]);
    assert_eq!(value, "");
}

// ---- The rows --------------------------------------------------------------------------------------------------------

#[test]
fn a_write_is_dated() {
    for way in [UPDATE.change, SET_PARAM.change] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(way);
        let sql = "SELECT write_date FROM session_timeout.config_parameter WHERE key = $1";
        assert_just_now(admin.value(sql, &[&param::DELAY]));
    }
}

#[test]
fn a_new_row_is_dated() {
    for way in [
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('mine', 'x')",
        "SELECT session_timeout.set_param('mine', 'x')",
    ] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(way);
        let sql = "SELECT create_date FROM session_timeout.config_parameter WHERE key = 'mine'";
        assert_just_now(admin.value(sql, &[]));
    }
}

#[test]
fn an_inserted_row_replaces_a_seeded_one_that_nobody_has_edited() {
    let database = own_database();
    let mut admin = database.connect();
    admin.run(INSERT.change);
    assert_eq!(stored(&mut admin, param::DELAY).as_deref(), Some("3600"));
}

#[test]
fn an_inserted_row_does_not_replace_one_that_somebody_has_edited() {
    for edit in [UPDATE.change, SET_PARAM.change] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(edit);
        assert_eq!(error_of(admin.batch_execute(INSERT.change)).sqlstate, "23505", "{edit}");
    }
}

#[test]
fn an_insert_on_conflict_do_update_writes_the_value_over_any_row() {
    let database = own_database();
    let mut admin = database.connect();
    for value in ["60", "90"] {
        admin.write(
            "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, $2) \
             ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
            &[&param::DELAY, &value],
        );
        assert_eq!(stored(&mut admin, param::DELAY).as_deref(), Some(value));
    }
}

#[test]
fn the_warning_is_measured_to_the_nearer_end() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "50 minutes");
    assert_about(app.peek(&sid).expires_in, TimeDelta::minutes(10));
}
