//! Rule 9: least privilege.
//!
//! An application's role needs USAGE on the schema and EXECUTE on functions, and nothing on tables. The installing role and
//! the database's owner can call every function, read all, change parameters and sessions, and no more. A trusted install opens
//! no way to more rights.

mod application;
mod monitoring;
mod owners;
mod planted;
mod public;
mod triggers;

use session_timeout_tests::{Role, shared};

use crate::support::own_database;

/// A call of every function.
const CALLS: [&str; 14] = [
    "open_session('sid', 'user', '1 hour', '2 hours')",
    "check_session('sid', '/')",
    "session_verdict('sid', '/')",
    "peek_session('sid')",
    "rotate_session('sid', 'new')",
    "close_session('new')",
    "close_user_sessions('user', 'sid')",
    "purge_sessions()",
    "flush_sessions()",
    "set_param('inactive_session_time_out_delay', '3600')",
    "get_param('inactive_session_time_out_delay')",
    "session_outlook(NULL, NULL, now(), now(), NULL, NULL)",
    "counters()",
    "worker_state(0)",
];

const TABLES: [&str; 3] = ["config_parameter", "session", "session_event"];

const RELATIONS: [&str; 6] = [
    "config_parameter",
    "session",
    "session_event",
    "active_session",
    "stat_session_timeout",
    "stat_worker",
];

fn login(hint: &str) -> Role<'static> {
    shared().role(hint, "LOGIN NOSUPERUSER")
}

#[test]
fn every_function_has_a_call_in_these_tests() {
    let database = own_database();
    let rows = database.connect().query(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace
         AND prorettype <> 'trigger'::regtype AND proname <> 'session_digest' ORDER BY 1",
        &[],
    );
    let functions: Vec<String> = rows.expect("the functions").iter().map(|row| row.get(0)).collect();
    let mut called: Vec<&str> = CALLS.iter().filter_map(|call| call.split('(').next()).collect();
    called.sort_unstable();
    assert_eq!(functions, called);
}
