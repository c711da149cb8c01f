//! A flush writes the rows of sessions that were used, by HOT updates, and the table does not grow by it.

use session_timeout_tests::{Database, Server, eventually, wait_for};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SOON, SessionCalls, Swarm, begin, new_sid, own_database, unique};

const ROUNDS: i64 = 5;

/// Opens so many sessions, then has each touched, round after round. Waits for each round's flush in another database, so
/// that the waiting holds no snapshot in this one.
fn flush_in_rounds(server: &Server, database: &Database, sessions: i64) {
    let elsewhere = preloaded::database_on(server, "observer", &QUIET);
    let (mut client, mut observer) = (database.connect(), elsewhere.connect());
    let prefix = unique("many");
    client.write(
        "SELECT count(session_timeout.open_session($1 || n::text)) FROM generate_series(1, $2::bigint) AS n",
        &[&prefix, &sessions],
    );
    let flushed = format!(
        "SELECT flushed FROM session_timeout.stat_worker WHERE datname = '{}' AND pid IS NULL",
        database.name()
    );
    for round in 1..=ROUNDS {
        let valid: i64 = client.value(
            "SELECT count(*) FILTER (WHERE session_timeout.check_session($1 || n::text)) FROM generate_series(1, $2::bigint) AS n",
            &[&prefix, &sessions],
        );
        assert_eq!(valid, sessions);
        eventually("all of them are flushed", SOON, || {
            let row = observer.query_opt(&flushed, &[]).expect("stat_worker");
            row.is_some_and(|row| row.get::<_, i64>(0) >= sessions * round)
        });
    }
}

/// Updates of session rows, and how many of them were HOT.
fn updates(database: &Database) -> (i64, i64) {
    let mut client = database.connect();
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
               WHERE relid = 'session_timeout.session'::regclass";
    let row = client.query_one(sql, &[]).expect("statistics");
    (row.get(0), row.get(1))
}

#[test]
fn activity_is_written_by_hot_updates_even_if_a_whole_page_is_touched() {
    const SESSIONS: i64 = 1000;
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "flush_hot", &QUICK);
    flush_in_rounds(&server, &database, SESSIONS);
    let all = SESSIONS * ROUNDS;
    let updated = wait_for("statistics arrive", SOON, || {
        let updated = updates(&database);
        (updated.0 >= all).then_some(updated)
    });
    assert_eq!(updated, (all, all));
}

/// Others that only read are given no transaction ids, so that nothing tells PostgreSQL that their snapshots are gone.
#[test]
fn the_table_does_not_grow_by_the_flush_while_others_hold_snapshots_for_moments() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "flush_readers", &QUICK);
    let swarm = Swarm::start((0..4).map(|_| database.connect()), |client, _| {
        client.run("SELECT pg_sleep(0.03)");
        Ok(())
    });
    flush_in_rounds(&server, &database, 1000);
    swarm.stop();
    let pages: i64 = database
        .connect()
        .value("SELECT pg_relation_size('session_timeout.session') / 8192", &[]);
    // 16 as they were opened. Twice as many where rows go to other pages at once.
    assert!(pages < 24, "{pages} pages");
}

#[test]
fn a_snapshot_held_for_long_keeps_no_activity_from_being_written() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "flush_crowded", &QUICK);
    let mut holder = database.connect();
    begin(&mut holder, "REPEATABLE READ");
    flush_in_rounds(&server, &database, 1000);
    // It did stand in the way.
    let (all, hot) = wait_for("statistics arrive", SOON, || {
        let updated = updates(&database);
        (updated.0 >= 1000 * ROUNDS).then_some(updated)
    });
    assert!(hot < all, "{hot} of {all}");
    holder.run("COMMIT");
}

#[test]
fn a_touch_is_a_hot_update() {
    let database = own_database();
    let (mut admin, mut app, sid) = (database.connect(), database.connect(), new_sid());
    admin.open_as(&sid, "somebody");
    admin.has_been_idle(&sid, "1 hour");
    app.run("BEGIN");
    app.check(&sid);
    let updates = app.query_one(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables \
         WHERE relid = 'session_timeout.session'::regclass",
        &[],
    );
    let updates = updates.expect("what the transaction has done");
    assert_eq!((updates.get::<_, i64>(0), updates.get::<_, i64>(1)), (1, 1));
}
