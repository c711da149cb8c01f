//! Activity is written down.

use std::thread;
use std::time::Duration;

use session_timeout_tests::chrono::{TimeDelta, Utc};
use session_timeout_tests::{Database, Server, eventually, param, wait_for};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, Swarm, begin, expect, new_sid, open_expired, unique, wait_for_passes, wait_until_flushed,
};

#[test]
fn activity_is_written_to_the_row_as_the_same_opening() {
    let database = preloaded::database("flush", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let opened = client.stored(&sid).expect("a row");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    let row = client.stored(&sid).expect("a row");
    assert_eq!(row.last_activity, touched);
    assert_eq!((row.version, row.opened_at), (opened.version, opened.opened_at));
    assert_eq!(client.peek(&sid).last_activity, Some(touched));
}

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
fn activity_is_written_by_hot_updates_also_where_all_rows_of_a_page_are_touched_at_once() {
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
fn a_locked_row_is_written_when_it_is_free() {
    let database = preloaded::database("flush_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let (held, free) = (new_sid(), new_sid());
    for sid in [&held, &free] {
        client.open(sid);
    }
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    let [touched, at] = [&held, &free].map(|sid| client.verdict(sid).last_activity.expect("an activity"));
    wait_until_flushed(&mut client, &free, at);
    assert!(client.stored(&held).expect("a row").last_activity < touched);
    holder.run("ROLLBACK");
    wait_until_flushed(&mut client, &held, touched);
}

/// The marked session makes for a pass every two seconds.
#[test]
fn a_locked_row_brings_no_flush_forward() {
    let params = [(param::FLUSH_INTERVAL, "5"), (param::PURGE_INTERVAL, "1 day")];
    let database = preloaded::database("flush_forward", &params);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let [held, free] = [(); 2].map(|()| new_sid());
    open_expired(&mut client, &held);
    client.open(&free);
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    assert!(!client.check(&held));
    let touched = client.verdict(&free).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &free, touched);
    eventually("the next flush is after the interval", SOON, || {
        client.value(
            "SELECT next_flush > last_pass FROM session_timeout.stat_worker WHERE datname = current_database()",
            &[],
        )
    });
    assert!(client.stored(&held).is_some());
    holder.run("ROLLBACK");
}

#[test]
fn a_row_that_is_only_referred_to_is_written() {
    let database = preloaded::database("flush_referred", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    // As a foreign key's check does, to the end of its transaction.
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR KEY SHARE",
        &[&sid],
    );
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    holder.run("ROLLBACK");
}

#[test]
fn activity_is_written_where_somebody_has_taken_the_primary_key_away() {
    let database = preloaded::database("flush_no_key", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
}

#[test]
fn a_clock_set_back_by_hand_is_not_undone_by_a_flush() {
    let database = preloaded::database("flush_set_back", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..200).map(|_| new_sid()).collect();
    for sid in &sids {
        client.open(sid);
        assert!(other.check(sid));
    }
    // In the midst of the flushes.
    for sid in &sids {
        assert!(other.check(sid));
        client.has_been_idle(sid, "1 hour");
        thread::sleep(Duration::from_millis(5));
    }
    wait_for_passes(&mut client, 2);
    for sid in &sids {
        let (peeked, row) = (client.peek(sid).last_activity, client.stored(sid).expect("a row"));
        assert!(Utc::now() - row.last_activity > TimeDelta::minutes(59));
        assert_eq!(peeked, Some(row.last_activity));
    }
}

#[test]
fn activity_that_never_pauses_is_written_all_the_time() {
    // A purge would look as well: it comes next tomorrow.
    let params = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 day")];
    let database = preloaded::database("flush_hot_sessions", &params);
    let mut client = database.connect();
    let sids: Vec<String> = (0..20).map(|_| new_sid()).collect();
    for sid in &sids {
        client.open(sid);
    }
    let swarm = {
        let sids = sids.clone();
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            sids.iter()
                .try_for_each(|sid| expect(client.check(sid), true, "a busy session"))
        })
    };
    for _ in 0..5 {
        let now = Utc::now();
        for sid in &sids {
            wait_until_flushed(&mut client, sid, now);
        }
    }
    swarm.stop();
}
