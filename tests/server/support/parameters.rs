//! The keys of parameters, what a key's row has, and values that are refused.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{error_of, param};

use super::{SessionCalls, new_sid, own_database};

/// The keys of parameters that are times.
pub const TIME_PARAMETERS: [&str; 6] = [
    param::DELAY,
    param::ABSOLUTE_DELAY,
    param::WARNING,
    param::FLUSH_INTERVAL,
    param::PURGE_INTERVAL,
    param::EVENT_RETENTION,
];

/// The value of a parameter's row.
pub fn parameter_value(client: &mut Client, key: &str) -> Option<String> {
    client
        .query_opt(
            "SELECT value FROM session_timeout.config_parameter WHERE key = $1",
            &[&key],
        )
        .expect("the parameter's row")
        .map(|row| row.get(0))
}

/// Refused by set_param, by UPDATE and by INSERT: with 22023, with a hint that names what is allowed, and with nothing
/// left behind.
#[track_caller]
pub fn assert_refused(key: &str, values: &[&str], hint: &str) {
    let database = own_database();
    let (mut admin, mut app, sid) = (database.connect(), database.connect(), new_sid());
    app.open(&sid);
    let before = (parameter_value(&mut admin, key), app.peek(&sid).expires_at);
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
            let after = (parameter_value(&mut admin, key), app.peek(&sid).expires_at);
            assert_eq!(after, before, "{way}, {value:?}");
        }
    }
}
