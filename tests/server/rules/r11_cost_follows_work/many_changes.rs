//! Very many changes in one transaction.

use session_timeout_tests::postgres::Client;

use crate::support::{SessionCalls, own_database};

/// How many locks a transaction holds that could fill the lock table.
fn locks_held(client: &mut Client) -> i64 {
    client.value(
        "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND NOT fastpath",
        &[],
    )
}

#[test]
fn a_transaction_opens_very_many_sessions_of_as_many_users_with_few_locks() {
    let database = own_database();
    let mut client = database.connect();
    client.run(
        "BEGIN;
         DO $$ BEGIN
             FOR n IN 1..1500 LOOP PERFORM session_timeout.open_session('s' || n, 'user' || n); END LOOP;
         END $$",
    );
    let locks = locks_held(&mut client);
    assert!(locks < 100, "{locks} locks");
    client.run("COMMIT");
    let sessions: i64 = client.value("SELECT count(*) FROM session_timeout.active_session", &[]);
    assert_eq!(sessions, 1500);
}

#[test]
fn a_statement_opens_twenty_thousand_sessions_of_as_many_users() {
    let database = own_database();
    let mut client = database.connect();
    let opened: i64 = client.value(
        "SELECT count(session_timeout.open_session('s' || n, 'user' || n)) FROM generate_series(1, 20000) AS n",
        &[],
    );
    assert_eq!(opened, 20_000);
    let sessions: i64 = client.value("SELECT count(*) FROM session_timeout.session", &[]);
    assert_eq!(sessions, 20_000);
    assert!(client.check("s20000"));
}

#[test]
fn a_statement_inserts_twenty_thousand_sessions_by_hand() {
    let database = own_database();
    let mut client = database.connect();
    let inserted = client.write(
        "INSERT INTO session_timeout.session (digest, user_name)
         SELECT session_timeout.session_digest('s' || n), 'user' || n FROM generate_series(1, 20000) AS n",
        &[],
    );
    assert_eq!(inserted, 20_000);
    assert!(client.check("s20000"));
}

#[test]
fn a_statement_checks_and_closes_thousands_of_sessions() {
    let database = own_database();
    let mut client = database.connect();
    client.run("SELECT session_timeout.open_session('s' || n) FROM generate_series(1, 3000) AS n");
    let count = |client: &mut Client, function: &str| -> i64 {
        client.value(
            &format!(
                "SELECT count(*) FILTER (WHERE session_timeout.{function}('s' || n)) FROM generate_series(1, 3000) AS n"
            ),
            &[],
        )
    };
    assert_eq!(count(&mut client, "check_session"), 3000);
    assert_eq!(count(&mut client, "close_session"), 3000);
    assert_eq!(count(&mut client, "check_session"), 0);
}

#[test]
fn a_revocation_closes_thousands_of_sessions_of_one_user() {
    let database = own_database();
    let mut client = database.connect();
    client.run("SELECT session_timeout.open_session('s' || n, 'user') FROM generate_series(1, 3000) AS n");
    assert_eq!(client.close_user("user"), 3000);
    let events: i64 = client.value(
        "SELECT count(*) FROM session_timeout.session_event WHERE kind = 'revoked'",
        &[],
    );
    assert_eq!(events, 3000);
}
