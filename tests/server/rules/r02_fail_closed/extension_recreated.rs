//! The extension is dropped and created again in one transaction, in each way that a transaction can: no session of the old
//! one validates, and no default replaces a parameter that has a row.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{InFlight, SNAPSHOT_LEVELS, SessionCalls, begin, new_sid};

/// More sessions than a transaction lists one by one.
const MANY: i64 = 300;

const RECREATE: &str = "DROP EXTENSION inactive_session_timeout; CREATE EXTENSION inactive_session_timeout";

/// Opens sessions and checks each, so that memory knows them: their ids.
fn open_many(client: &mut Client) -> String {
    let prefix = new_sid();
    let opened = "SELECT count(session_timeout.open_session($1 || n)) FROM generate_series(1, $2::bigint) n";
    let _: i64 = client.value(opened, &[&prefix, &MANY]);
    assert_eq!(valid(client, &prefix), MANY);
    prefix
}

fn valid(client: &mut Client, prefix: &str) -> i64 {
    let sql =
        "SELECT count(*) FILTER (WHERE session_timeout.check_session($1 || n)) FROM generate_series(1, $2::bigint) n";
    client.value(sql, &[&prefix, &MANY])
}

#[test]
fn sessions_deleted_before_the_savepoint_of_a_recreation_are_over() {
    let database = preloaded::database("recreated_behind", &QUIET);
    let (mut changer, mut other) = (database.connect(), database.connect());
    let prefix = open_many(&mut other);
    changer.run(&format!(
        "BEGIN; DELETE FROM session_timeout.session; SAVEPOINT s; {RECREATE};
         SELECT session_timeout.open_session('another'); ROLLBACK TO SAVEPOINT s; COMMIT"
    ));
    assert_eq!(valid(&mut other, &prefix), 0);
}

#[test]
fn sessions_survive_a_recreation_rolled_back_to_a_savepoint() {
    let database = preloaded::database("recreated_undone", &QUIET);
    let (mut changer, mut other) = (database.connect(), database.connect());
    let prefix = open_many(&mut other);
    changer.run(&format!("BEGIN; SAVEPOINT s; {RECREATE}"));
    changer.run("SELECT session_timeout.open_session('another'); ROLLBACK TO SAVEPOINT s");
    assert_eq!(valid(&mut changer, &prefix), MANY);
    changer.run("COMMIT");
    assert_eq!(valid(&mut other, &prefix), MANY);
    assert!(!other.check("another"));
}

/// Recreates the extension, with this delay and an open session, while `client` is in a transaction in which it
/// has just used it. PostgreSQL itself still leads to the old functions then, those that this connection has called before.
fn recreate_under(database: &Database, client: &mut Client, level: &str, delay: &str) -> String {
    let sid = new_sid();
    begin(client, level);
    assert!(!client.check(&sid));
    database.connect().run(&format!(
        "BEGIN; {RECREATE}; SELECT session_timeout.set_param('{}', '{delay}'), session_timeout.open_session('{sid}'); COMMIT",
        param::DELAY
    ));
    sid
}

#[test]
fn an_old_transaction_goes_by_the_parameters_of_the_new_extension() {
    for level in SNAPSHOT_LEVELS {
        for (delay, idle, is_valid) in [("1", "1 minute", false), ("1 day", "3 hours", true)] {
            let database = preloaded::database("recreated_under", &QUIET);
            let mut old = database.connect();
            let sid = recreate_under(&database, &mut old, level, delay);
            database.connect().has_been_idle(&sid, idle);
            assert_eq!(old.check(&sid), is_valid, "{level}, {delay}");
            old.run("COMMIT");
        }
    }
}

#[test]
fn every_function_of_an_old_transaction_acts_on_the_new_extension() {
    let calls = [
        "open_session('another')",
        "close_session($1)",
        "close_user_sessions($1)",
        "rotate_session($1, 'another')",
        "purge_sessions()",
        "flush_sessions()",
        "set_param('mine', $1)",
    ];
    for call in calls {
        let database = preloaded::database("recreated_call", &QUIET);
        let mut old = database.connect();
        let sql = |sid: &str| format!("SELECT session_timeout.{}", call.replace("$1", &format!("'{sid}'")));
        old.run(&sql("nobody"));
        let sid = recreate_under(&database, &mut old, "REPEATABLE READ", "1");
        let sql = sql(&sid);
        old.batch_execute(&sql)
            .unwrap_or_else(|error| panic!("{call}: {error:?}"));
        old.run("COMMIT");
    }
    let database = preloaded::database("recreated_param", &QUIET);
    let mut old = database.connect();
    let delay = |client: &mut Client| -> Option<String> {
        client.value("SELECT session_timeout.get_param($1, 'none')", &[&param::DELAY])
    };
    assert_eq!(delay(&mut old).as_deref(), Some("7200"));
    recreate_under(&database, &mut old, "REPEATABLE READ", "1");
    assert_eq!(delay(&mut old).as_deref(), Some("1"));
}

#[test]
fn a_check_that_waited_for_a_recreation_uses_the_new_extension() {
    for (login, is_valid) in [("SELECT 1", false), ("SELECT session_timeout.open_session($1)", true)] {
        let database = preloaded::database("recreated_wait", &and(QUIET, (param::DELAY, "1 hour")));
        let (mut changer, mut observer) = (database.connect(), database.connect());
        let sid = new_sid();
        changer.open(&sid);
        let login = login.replace("$1", &format!("'{sid}'"));
        changer.run(&format!("BEGIN; {RECREATE}; {login}"));
        let checking = InFlight::start(database.connect(), {
            let sid = sid.clone();
            move |client| client.check(&sid)
        });
        checking.is_waiting(&mut observer);
        changer.run("COMMIT");
        assert_eq!(checking.answer(), is_valid, "{login}");
    }
}
