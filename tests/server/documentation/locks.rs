//! The locks of functions on tables, held to the end of the transaction, are those of section Locks in
//! `docs/operations.md`. What a function reads under AccessShare is "released at once": so it is not seen here.

use std::collections::BTreeSet;
use std::fs;

use session_timeout_tests::param;
use session_timeout_tests::postgres::{Client, Row};

use super::root;
use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, own_database};

/// A call, and the tables on which it holds RowExclusive.
type Case = (&'static str, &'static [&'static str]);

const NONE: &[&str] = &[];
const SESSION: &[&str] = &["session"];
const BOTH: &[&str] = &["session", "session_event"];

/// With the library preloaded and without.
const ALWAYS: &[Case] = &[
    ("open_session('new')", SESSION),
    ("open_session('used')", SESSION),
    ("open_session('expired')", BOTH),
    ("close_session('used')", BOTH),
    ("close_session('new')", SESSION),
    ("rotate_session('used', 'new')", SESSION),
    ("rotate_session('used', 'expired')", BOTH),
    ("rotate_session('expired', 'new')", BOTH),
    ("close_user_sessions('alice')", BOTH),
    ("purge_sessions()", BOTH),
    ("peek_session('used')", NONE),
    ("peek_session('expired')", NONE),
    ("session_digest('used')", NONE),
    ("get_param('any')", NONE),
    ("set_param('any', '1')", &["config_parameter"]),
    ("set_param('any', NULL)", &["config_parameter"]),
];

/// "A check without preload": nothing to write, touching, expiring.
const WITHOUT_PRELOAD: &[Case] = &[
    ("check_session('used')", NONE),
    ("check_session('unused')", SESSION),
    ("check_session('expired')", BOTH),
    ("session_verdict('used')", NONE),
    ("session_verdict('unused')", SESSION),
    ("session_verdict('expired')", BOTH),
    ("flush_sessions()", NONE),
];

/// "A check, preloaded": the first that reads the row, and one that the registry answers.
const PRELOADED: &[Case] = &[
    // No session has been used yet.
    ("flush_sessions()", NONE),
    ("check_session('used')", NONE),
    ("check_session('unused')", NONE),
    ("check_session('expired')", NONE),
    ("check_session('used'), session_timeout.check_session('used')", NONE),
    ("session_verdict('used')", NONE),
    ("session_verdict('unused')", NONE),
    ("session_verdict('expired')", NONE),
    ("check_session('used'), session_timeout.flush_sessions()", SESSION),
];

/// "With `inactive_session_time_out_event_retention` at `0`", without preload.
const WITHOUT_EVENTS: &[Case] = &[
    ("open_session('expired')", SESSION),
    ("close_session('used')", SESSION),
    ("rotate_session('used', 'expired')", SESSION),
    ("rotate_session('expired', 'new')", SESSION),
    ("close_user_sessions('alice')", SESSION),
    ("purge_sessions()", BOTH),
    ("check_session('expired')", BOTH),
];

/// The functions that have a row of their own, which says the same with preload and without.
const DOCUMENTED: [&str; 8] = [
    "open_session",
    "close_session",
    "rotate_session",
    "close_user_sessions",
    "purge_sessions",
    "peek_session",
    "get_param",
    "set_param",
];

/// Makes the sessions that the cases speak of.
fn make_sessions(client: &mut Client) {
    client.run(
        "DELETE FROM session_timeout.session;
         INSERT INTO session_timeout.session (digest, user_name, last_activity)
         SELECT session_timeout.session_digest(sid), 'alice', clock_timestamp() - idle::interval
         FROM (VALUES ('used', '0'), ('unused', '5 minutes'), ('expired', '3 hours')) AS s(sid, idle)",
    );
}

/// The tables that a transaction has locked after this call.
fn locked_by(client: &mut Client, call: &str) -> Vec<String> {
    make_sessions(client);
    client.run(&format!("BEGIN; SELECT session_timeout.{call}"));
    let locked = client.query(
        "SELECT c.relname::text, l.mode FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation \
         WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'session_timeout'::regnamespace AND c.relkind = 'r' \
         ORDER BY 1, 2",
        &[],
    );
    let name = |row: &Row| {
        assert_eq!(row.get::<_, String>(1), "RowExclusiveLock", "{call}");
        row.get(0)
    };
    let locked = locked.expect("pg_locks").iter().map(name).collect();
    client.run("ROLLBACK");
    locked
}

#[track_caller]
fn assert_locked(client: &mut Client, cases: &[Case]) {
    let differs = |(call, expected): &Case| {
        let locked = locked_by(client, call);
        (locked != *expected).then(|| format!("{call} locks {locked:?}"))
    };
    assert_eq!(cases.iter().filter_map(differs).collect::<Vec<_>>(), [""; 0]);
}

/// The tables that the page says a function locks to the end: those named after RowExclusive in its row.
#[track_caller]
fn documented(function: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/operations.md")).expect("the page");
    let section = text.split("\n## Locks\n").nth(1).expect("section Locks");
    let rows = section.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let mut rows = rows.filter(|cells| cells.len() > 2 && cells[1].contains(&format!("`{function}`")));
    let row = rows.next().unwrap_or_else(|| panic!("no row of {function}"));
    let tables = row[2].split_once("RowExclusive").map_or("", |(_, tables)| tables);
    tables.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn without_preload_functions_lock_what_the_docs_say() {
    let database = own_database();
    let mut client = database.connect();
    assert_locked(&mut client, ALWAYS);
    assert_locked(&mut client, WITHOUT_PRELOAD);
    client.set_param(param::EVENT_RETENTION, Some("0"));
    assert_locked(&mut client, WITHOUT_EVENTS);
}

#[test]
fn preloaded_functions_lock_what_the_docs_say() {
    let database = preloaded::database("locks", &QUIET);
    let mut client = database.connect();
    assert_locked(&mut client, ALWAYS);
    assert_locked(&mut client, PRELOADED);
}

#[test]
fn the_docs_say_what_functions_lock() {
    for function in DOCUMENTED {
        let cases = ALWAYS
            .iter()
            .filter(|(call, _)| call.split('(').next() == Some(function));
        let locked: BTreeSet<String> = cases.flat_map(|(_, tables)| *tables).map(|t| (*t).to_owned()).collect();
        assert_eq!(documented(function), locked, "{function}");
    }
}
