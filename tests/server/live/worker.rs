//! The launcher and its workers: what they write down, end and delete, when, and what they leave alone.

use std::thread;
use std::time::{Duration, Instant};

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{
    Database, Server, error_of, eventually, next_notification, notifications, param, serde_json, stays, wait_for,
};

use super::support::{
    QUICK, QUIET, Swarm, alone, database, database_of, expect, install, is_resting, live, open_expired,
    wait_for_passes, wait_until_flushed, wait_until_gone, wait_until_idle, worker_figure,
};
use crate::in_flight::{SOON, begin, outcome};
use crate::support::{SessionCalls, hex_digest, listener, new_sid, unique};

// ---- Sessions that a check has found expired -------------------------------------------------------------------------

#[test]
fn a_session_found_expired_is_deleted_with_one_event_and_one_notice() {
    let database = database("marked", &QUIET);
    let mut ears = listener(&database);
    let mut client = database.connect();
    for (idle, absolute, kind) in [
        (Some("300 ms"), None, "idle_expired"),
        (None, Some("300 ms"), "absolute_expired"),
    ] {
        let sid = new_sid();
        client.write(
            "SELECT session_timeout.open_session($1, 'somebody', $2::text::interval, $3::text::interval)",
            &[&sid, &idle, &absolute],
        );
        let opened = client.stored(&sid).expect("a row").last_activity;
        let newest = client.verdict(&sid).last_activity.expect("an activity");
        assert!(newest > opened, "activity that no row knows yet");
        eventually("the session is past its limit", SOON, || {
            client.peek(&sid).status == kind
        });
        assert_eq!(client.verdict(&sid).status, kind);
        eventually("its row is deleted", SOON, || client.stored(&sid).is_none());
        let notice = next_notification(&mut ears, SOON).expect("a notice");
        let events = client.events(&sid);
        let [event] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(
            (event.kind.as_str(), event.user_name.as_deref(), event.last_activity),
            (kind, Some("somebody"), newest)
        );
        let notice: serde_json::Value = serde_json::from_str(notice.payload()).expect("JSON");
        let expected = serde_json::json!({
            "kind": kind, "events": [event.id, event.id], "digests": [hex_digest(&sid)],
        });
        assert_eq!(notice, expected);
    }
    let more = notifications(&mut ears, Duration::from_millis(1500));
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn a_marked_session_that_others_hold_is_ended_when_they_let_go() {
    let database = database("marked_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let (held, free) = (new_sid(), new_sid());
    for sid in [&held, &free] {
        open_expired(&mut client, sid);
    }
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    for sid in [&held, &free] {
        assert!(!client.check(sid));
    }
    wait_until_gone(&mut client, &free);
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&held).is_some());
    assert_eq!(worker_figure(&mut client, "failures"), 0);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &held);
    assert_eq!(client.event_kinds(&held), ["idle_expired"]);
}

#[test]
fn a_marked_session_that_others_held_does_not_wait_for_the_next_purge() {
    let database = database("marked_held", &QUIET);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    assert!(!client.check(&sid));
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_locked_table_is_left_for_next_time() {
    let database = database("table_locked", &QUICK);
    let (mut client, mut holder, mut monitor) = (database.connect(), database.connect(), live().connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN ACCESS EXCLUSIVE MODE");
    // It has not waited: its passes go on, and none fails.
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'session_timeout.session'::regclass";
    let pass = "SELECT last_pass, failures FROM session_timeout.stat_worker WHERE datname = current_database()";
    let look = |client: &mut Client| {
        let row = client.query_one(pass, &[]).expect("the worker's figures");
        (row.get::<_, DateTime<Utc>>(0), row.get::<_, i64>(1))
    };
    for _ in 0..2 {
        let before = look(&mut client).0;
        eventually("another pass", SOON, || look(&mut client).0 > before);
    }
    assert_eq!(look(&mut client).1, 0);
    assert_eq!(client.value::<i64>(sql, &[]), 0);
    assert_eq!(monitor.value::<i32>("SELECT 1", &[]), 1);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn reopened_while_the_worker_deletes_the_old_session_the_new_one_lives() {
    const SESSIONS: usize = 120;
    const ROUNDS: usize = 5;
    let database = database("reopened", &QUICK);
    let mut admin = database.connect();
    let sids: Vec<String> = (0..SESSIONS).map(|_| new_sid()).collect();
    for sid in &sids {
        admin.open(sid);
    }
    for _ in 0..ROUNDS {
        admin.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
        let reopen = |sids: Vec<String>| {
            let mut client = database.connect();
            thread::spawn(move || {
                for sid in &sids {
                    assert!(!client.check(sid), "an expired session");
                }
                // Spread over the time in which the worker comes.
                for sid in &sids {
                    client.open(sid);
                    assert!(client.check(sid), "a session opened anew");
                    thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let threads: Vec<_> = sids.chunks(SESSIONS / 2).map(|half| reopen(half.to_vec())).collect();
        for thread in threads {
            thread.join().expect("no session is lost");
        }
    }
    wait_for_passes(&mut admin, 2);
    for sid in &sids {
        assert!(admin.check(sid));
        assert_eq!(admin.event_kinds(sid), ["idle_expired"; ROUNDS]);
    }
}

// ---- Sessions that nobody checks -------------------------------------------------------------------------------------

#[test]
fn a_session_that_only_polls_is_expired_by_the_worker() {
    for mode in ["skip_check", "no_refresh"] {
        let params = [
            (param::FLUSH_INTERVAL, "1"),
            (param::PURGE_INTERVAL, "1"),
            (param::DELAY, "1"),
            (param::IGNORED_URL_MODE, mode),
        ];
        let database = database("polling", &params);
        let mut client = database.connect();
        let sid = new_sid();
        client.open(&sid);
        assert!(client.check(&sid));
        eventually("the polling session ends", SOON, || {
            !client.check_url(&sid, "/websocket")
        });
        wait_until_gone(&mut client, &sid);
        assert_eq!(client.event_kinds(&sid), ["idle_expired"], "{mode}");
    }
}

#[test]
fn a_session_that_nobody_ever_checked_is_purged() {
    let database = database("never_checked", &QUICK);
    let mut client = database.connect();
    let (sid, old, lasting) = (new_sid(), new_sid(), new_sid());
    client.open_limited(&sid, Some("300 ms"), None);
    client.open_limited(&old, None, Some("300 ms"));
    client.open(&lasting);
    wait_until_gone(&mut client, &sid);
    wait_until_gone(&mut client, &old);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
    assert_eq!(client.event_kinds(&old), ["absolute_expired"]);
    assert!(client.stored(&lasting).is_some());
}

#[test]
fn a_session_set_back_by_hand_and_never_checked_again_is_purged() {
    let database = database("purge_set_back", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    client.has_been_idle(&sid, "3 hours");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_reopened_and_never_checked_again_is_purged() {
    let database = database("purge_reopened", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    client.open_limited(&sid, Some("300 ms"), None);
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn activity_in_memory_keeps_the_purge_from_its_row() {
    // The row says all the time that it is past its own limit.
    let params = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1")];
    let database = database("purge_active", &params);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("3 s"), None);
    stays("it is valid", Duration::from_secs(6), || client.check(&sid));
    assert_eq!(client.event_kinds(&sid), [""; 0]);
    let behind = client.peek(&sid).last_activity > client.stored(&sid).map(|row| row.last_activity);
    assert!(behind, "the row was written");
}

#[test]
fn a_locked_row_is_purged_when_it_is_free() {
    let database = database("purge_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    wait_until_idle(&mut client, &sid);
    wait_for_passes(&mut client, 2);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_shorter_purge_interval_counts_from_its_commit_on() {
    let database = database("purge_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_shorter_flush_interval_counts_from_its_commit_on() {
    let database = database("flush_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    database.set_params(&[(param::FLUSH_INTERVAL, "1")]);
    wait_until_flushed(&mut client, &sid, touched);
}

// ---- Activity written down -------------------------------------------------------------------------------------------

#[test]
fn activity_is_written_to_the_row_as_the_same_opening() {
    let database = database("flush", &QUICK);
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
    let elsewhere = database_of(server, "observer", &QUIET);
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
    let server = alone();
    let database = database_of(&server, "flush_hot", &QUICK);
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
    let server = alone();
    let database = database_of(&server, "flush_readers", &QUICK);
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
    let server = alone();
    let database = database_of(&server, "flush_crowded", &QUICK);
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
    let database = database("flush_locked", &QUICK);
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
    let database = database("flush_forward", &params);
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
    let database = database("flush_referred", &QUICK);
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
    let database = database("flush_no_key", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
}

#[test]
fn a_clock_set_back_by_hand_is_not_undone_by_a_flush() {
    let database = database("flush_set_back", &QUICK);
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
    let database = database("flush_hot_sessions", &params);
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

// ---- Events ----------------------------------------------------------------------------------------------------------

#[test]
fn events_are_deleted_when_they_are_older_than_the_retention() {
    let database = database("retention", &QUICK);
    let mut client = database.connect();
    client.run(
        "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity) \
         SELECT clock_timestamp() - age, sha256(age::text::bytea), 'closed', now() \
         FROM unnest('{40 days, 31 days, 29 days, 1 day}'::interval[]) AS age",
    );
    eventually("old events are deleted", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) <= 2
    });
    wait_for_passes(&mut client, 1);
    let kept: i64 = client.value(
        "SELECT count(*) FROM session_timeout.session_event WHERE at > now() - interval '30 days'",
        &[],
    );
    assert_eq!(kept, 2);
}

#[test]
fn with_no_retention_no_event_is_kept() {
    let database = database("no_retention", &QUICK);
    let mut client = database.connect();
    let (before, after) = (new_sid(), new_sid());
    client.open(&before);
    client.close_sid(&before);
    assert_eq!(client.event_kinds(&before), ["closed"]);
    client.set_param(param::EVENT_RETENTION, Some("0"));
    open_expired(&mut client, &after);
    assert!(!client.check(&after));
    wait_until_gone(&mut client, &after);
    assert_eq!(client.event_kinds(&after), [""; 0]);
    eventually("the old event is deleted", SOON, || {
        client.event_kinds(&before).is_empty()
    });
}

// ---- Failure, figures, rest ------------------------------------------------------------------------------------------

#[test]
fn a_pass_that_fails_is_shown_and_tried_again() {
    let database = database("failing", &QUIET);
    let mut client = database.connect();
    let first = new_sid();
    client.open(&first);
    client.close_sid(&first);
    // No second event fits.
    client.run("CREATE UNIQUE INDEX one ON session_timeout.session_event ((octet_length(digest)))");
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    eventually("the second failure in a row", SOON, || {
        worker_figure(&mut client, "failures") >= 2
    });
    let error: String = client.value(
        "SELECT last_error FROM session_timeout.stat_worker WHERE datname = current_database()",
        &[],
    );
    assert_eq!(error, "23505");
    assert!(!client.check(&sid));
    assert!(client.stored(&sid).is_some());
    let log = live().log();
    let said = log.lines().filter(|line| line.contains("session maintenance failed"));
    assert_eq!(said.count(), 1);
    client.run("DROP INDEX session_timeout.one");
    wait_until_gone(&mut client, &sid);
    eventually("no failure any more", SOON, || {
        worker_figure(&mut client, "failures") == 0
    });
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn stat_worker_counts_what_was_written_ended_and_purged() {
    let params = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")];
    let database = database("figures", &params);
    let mut client = database.connect();
    let touched: Vec<String> = (0..7).map(|_| new_sid()).collect();
    for sid in &touched {
        client.open(sid);
        assert!(client.check(sid));
    }
    eventually("seven flushed", SOON, || worker_figure(&mut client, "flushed") == 7);
    for sid in (0..5).map(|_| new_sid()) {
        client.open_limited(&sid, Some("1 us"), None);
    }
    eventually("five purged", SOON, || worker_figure(&mut client, "purged") == 5);
    client.run("BEGIN");
    let marked: Vec<String> = (0..3).map(|_| new_sid()).collect();
    for sid in &marked {
        client.open_limited(sid, Some("1 us"), None);
    }
    client.run("COMMIT");
    for sid in &marked {
        assert!(!client.check(sid));
    }
    eventually("three expired", SOON, || {
        worker_figure(&mut client, "expired") + worker_figure(&mut client, "purged") == 8
    });
    assert_eq!(worker_figure(&mut client, "flushed"), 7);
    assert_eq!(worker_figure(&mut client, "failures"), 0);
    eventually("the worker rests", SOON, || is_resting(&database));
    let is_due: bool = client.value(
        "SELECT next_purge > last_pass AND last_error IS NULL AND workers_refused = 0 \
         FROM session_timeout.stat_worker WHERE datname = current_database()",
        &[],
    );
    assert!(is_due);
}

#[test]
fn no_background_process_holds_a_snapshot_or_a_database_while_idle() {
    let database = database("idle", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
    eventually("the worker is gone", SOON, || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        client.value::<i64>(sql, &[]) == 0
    });
    let sql = "SELECT count(*), count(datname), count(backend_xmin), count(backend_xid), count(xact_start) \
               FROM pg_stat_activity WHERE backend_type = 'session_timeout launcher'";
    eventually("the launcher holds nothing", SOON, || {
        let row = client.query_one(sql, &[]).expect("the launcher's line");
        let figures: [i64; 5] = std::array::from_fn(|n| row.get(n));
        figures == [1, 0, 0, 0, 0]
    });
}

#[test]
fn a_worker_shows_itself_by_name_and_database() {
    let database = database("named", &QUICK);
    let mut client = database.connect();
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE backend_type = 'session_timeout worker' AND datname = current_database()";
    let sid = new_sid();
    client.open(&sid);
    let deadline = Instant::now() + SOON;
    while client.value::<i64>(sql, &[]) == 0 {
        assert!(client.check(&sid));
        assert!(Instant::now() < deadline, "no worker was seen");
    }
}

// ---- The extension comes and goes ------------------------------------------------------------------------------------

#[test]
fn an_extension_created_while_a_worker_looks_is_served() {
    let run = |n: usize| {
        move || {
            let database = live()
                .database_builder(&format!("created_{n}"))
                .without_extension()
                .create();
            let (mut client, mut observer) = (database.connect(), live().connect());
            for _ in 0..3 {
                client.run("BEGIN");
                client.run(&install(&QUICK));
                // A worker that looks now finds no extension. The commit comes in the midst of it, or nearly so.
                let looking = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                               WHERE backend_type = 'session_timeout worker' AND datname = $1)";
                let deadline = Instant::now() + Duration::from_millis(1500);
                while !observer.value::<bool>(looking, &[&database.name()]) && Instant::now() < deadline {}
                client.run("COMMIT");
                let sid = new_sid();
                client.open_limited(&sid, Some("1 us"), None);
                wait_until_gone(&mut client, &sid);
                client.run("DROP EXTENSION inactive_session_timeout");
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|n| thread::spawn(run(n))).collect();
    for thread in threads {
        thread.join().expect("the extension is served");
    }
}

#[test]
fn an_extension_created_anew_knows_no_session_of_the_old() {
    let database = database("anew", &QUICK);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..20).map(|_| new_sid()).collect();
    let check = other
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    for sid in &sids {
        admin.open(sid);
        assert!(other.query_one(&check, &[sid]).expect("a check").get::<_, bool>(0));
    }
    admin.run("DROP EXTENSION inactive_session_timeout");
    for sid in &sids {
        let error = error_of(other.query_one("SELECT session_timeout.check_session($1)", &[sid]));
        assert!(["3F000", "42883"].contains(&error.sqlstate.as_str()), "{error}");
    }
    admin.run(&install(&QUICK));
    for sid in &sids {
        assert!(!other.query_one(&check, &[sid]).expect("a check").get::<_, bool>(0));
        assert!(!admin.check(sid));
    }
    // And the worker serves the new one.
    let sid = new_sid();
    open_expired(&mut admin, &sid);
    assert!(!other.check(&sid));
    wait_until_gone(&mut admin, &sid);
    assert_eq!(admin.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn checks_while_the_extension_is_dropped_and_created_never_let_the_old_in() {
    let database = database("anew_swarm", &QUICK);
    let mut admin = database.connect();
    let round = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let sid = unique("round");
    admin.open(&format!("{sid}-0"));
    let swarm = {
        let (sid, round) = (sid.clone(), round.clone());
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            // The session of the round before is a dropped table's.
            let now = round.load(std::sync::atomic::Ordering::SeqCst);
            if now == 0 {
                return Ok(());
            }
            let old = format!("{sid}-{}", now - 1);
            match crate::in_flight::try_call(client, &format!("check_session('{old}')")) {
                Ok(valid) => expect(valid, false, "a session of the old extension"),
                Err(state) if ["3F000", "42883", "55000"].contains(&state.as_str()) => Ok(()),
                Err(state) => Err(format!("a check failed with {state}")),
            }
        })
    };
    for n in 1..=8 {
        admin.run("DROP EXTENSION inactive_session_timeout");
        round.store(n, std::sync::atomic::Ordering::SeqCst);
        admin.run(&install(&QUICK));
        let new = format!("{sid}-{n}");
        admin.open(&new);
        assert!(admin.check(&new));
        stays("no check lets the old ones in", Duration::from_millis(100), || {
            !swarm.has_failed()
        });
    }
    swarm.stop();
}

/// A check that was prepared, or has begun, outlives the extension that it is of.
#[test]
fn a_check_prepared_before_drop_extension_is_refused_after_it_or_says_false() {
    for (by_itself, anew) in [(false, false), (false, true), (true, false), (true, true)] {
        let database = database("prepared_drop", &QUIET);
        let (mut client, mut other) = (database.connect(), database.connect());
        let sid = new_sid();
        client.open(&sid);
        let check = client
            .prepare("SELECT session_timeout.check_session($1)")
            .expect("prepared");
        client.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        // Until its plan is kept.
        for _ in 0..10 {
            assert!(client.query_one(&check, &[&sid]).expect("a check").get::<_, bool>(0));
        }
        client.run(&format!(
            "DECLARE begun CURSOR FOR SELECT session_timeout.check_session('{sid}') FROM generate_series(1, 10)"
        ));
        assert!(client.value::<bool>("FETCH begun", &[]));
        // A cursor is something that DROP EXTENSION does not do beside.
        if by_itself {
            client.run("CLOSE begun");
        }
        let mut drop_it = String::from("DROP EXTENSION inactive_session_timeout CASCADE;");
        if anew {
            drop_it += &install(&QUIET);
        }
        if by_itself { &mut client } else { &mut other }.run(&drop_it);
        if !by_itself {
            client.run("SAVEPOINT here");
            match outcome(client.query_one("FETCH begun", &[])) {
                Ok(row) => assert!(!row.get::<_, bool>(0), "a check that had begun, anew: {anew}"),
                Err(state) => {
                    assert!(["3F000", "42883", "55000"].contains(&state.as_str()), "{state}");
                    client.run("ROLLBACK TO here");
                }
            }
        }
        match outcome(client.query_one(&check, &[&sid])) {
            Ok(row) => assert!(!row.get::<_, bool>(0), "by itself: {by_itself}, anew: {anew}"),
            Err(state) => assert!(["3F000", "42883", "55000"].contains(&state.as_str()), "{state}"),
        }
        client.run("ROLLBACK");
        if by_itself {
            assert!(client.check(&sid), "nothing was dropped");
        }
    }
}
