//! `purge_sessions` against others.

use session_timeout_tests::Database;

use crate::support::{OwnDatabase, SessionCalls, all_at_once, begin, outcome, own_database, refuse_to_wait};

const SESSIONS: i64 = 200;

/// A database with so many sessions past their deadline, `s1`, `s2`, and so on.
fn database_of_expired_sessions() -> OwnDatabase {
    let database = own_database();
    database.execute(&format!(
        "SELECT session_timeout.open_session('s' || n) FROM generate_series(1, {SESSIONS}) AS n;
         UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'"
    ));
    database
}

/// Asserts that each session has one event, which says that it was idle.
#[track_caller]
fn assert_each_expired_once(database: &Database) {
    let (events, digests): (i64, i64) = {
        let row = database.connect().query_one(
            "SELECT count(*), count(DISTINCT digest) FROM session_timeout.session_event WHERE kind = 'idle_expired'",
            &[],
        );
        let row = row.expect("the events");
        (row.get(0), row.get(1))
    };
    assert_eq!((events, digests), (SESSIONS, SESSIONS));
}

#[test]
fn a_purge_leaves_a_row_that_another_has_locked() {
    let database = database_of_expired_sessions();
    let (mut holder, mut purger) = (database.connect(), database.connect());
    holder.run(
        "BEGIN; SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest('s7') FOR UPDATE",
    );
    refuse_to_wait(&mut purger);
    assert_eq!(purger.purge(), SESSIONS - 1);
    holder.run("COMMIT");
    assert_eq!(purger.purge(), 1, "the next purge takes it");
    assert_each_expired_once(&database);
}

#[test]
fn a_purge_waits_for_no_change_in_flight() {
    for change in [
        "SELECT session_timeout.open_session('s7')",
        "SELECT session_timeout.close_session('s7')",
        "UPDATE session_timeout.session SET last_activity = clock_timestamp()
         WHERE digest = session_timeout.session_digest('s7')",
    ] {
        let database = database_of_expired_sessions();
        let (mut holder, mut purger) = (database.connect(), database.connect());
        holder.run(&format!("BEGIN; {change}"));
        refuse_to_wait(&mut purger);
        assert_eq!(purger.purge(), SESSIONS - 1, "{change}");
        holder.run("ROLLBACK");
    }
}

#[test]
fn a_second_purge_does_not_wait_for_the_first() {
    let database = database_of_expired_sessions();
    let (mut first, mut second) = (database.connect(), database.connect());
    first.run("BEGIN");
    assert_eq!(first.purge(), SESSIONS);
    refuse_to_wait(&mut second);
    assert_eq!(second.purge(), 0);
    first.run("COMMIT");
    assert_each_expired_once(&database);
}

#[test]
fn purges_that_race_expire_each_session_once() {
    let database = database_of_expired_sessions();
    let purged = all_at_once((0..4).map(|_| database.connect()), |client, _| client.purge());
    assert_eq!(purged.iter().sum::<i64>(), SESSIONS, "{purged:?}");
    assert_each_expired_once(&database);
}

#[test]
fn purges_and_checks_that_race_expire_each_session_once() {
    let database = database_of_expired_sessions();
    let clients: Vec<_> = (0..4).map(|_| database.connect()).collect();
    let valid = all_at_once(clients, |client, n| match n {
        0 => {
            client.purge();
            0
        }
        _ => (1..=SESSIONS).filter(|sid| client.check(&format!("s{sid}"))).count(),
    });
    assert_eq!(valid.iter().sum::<usize>(), 0);
    // A check leaves to others what they have locked, and they may have rolled back: nobody did.
    database.connect().purge();
    assert_each_expired_once(&database);
}

#[test]
fn a_purge_with_an_old_snapshot_spares_a_session_opened_again_since() {
    let database = database_of_expired_sessions();
    let (mut purger, mut other) = (database.connect(), database.connect());
    begin(&mut purger, "REPEATABLE READ");
    other.open("s7");
    let purged = outcome(purger.query_one("SELECT session_timeout.purge_sessions()", &[]));
    assert_eq!(purged.map(|row| row.get(0)), Ok(SESSIONS - 1));
    purger.run("COMMIT");
    assert!(other.check("s7"));
}
