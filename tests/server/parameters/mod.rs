//! The parameters: what they may be, and when a change counts.

mod changes;
mod defaults;
mod effects;
mod functions;
mod refusals;
mod rows;
mod times;

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::Client;

use crate::support::{DELAY, OwnDatabase, SessionCalls, new_sid, own_database};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// A database without parameter rows, and a session in it.
fn without_rows() -> (OwnDatabase, Client, String) {
    let database = own_database();
    database.execute("DELETE FROM session_timeout.config_parameter");
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    (database, app, sid)
}

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
