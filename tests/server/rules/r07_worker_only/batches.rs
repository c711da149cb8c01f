//! Many sessions are purged and flushed while checks go on: in small transactions, and in passes that end in time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param, wait_for};

use crate::support::{SOON, SessionCalls, assert_no_process_broke, check_many, open_many, preloaded, size};

/// How long the whole of it may take.
const LONG: Duration = Duration::from_secs(300);

/// Rows that one transaction flushes, at most.
const BATCH: i64 = 500;

/// Rows that one transaction purges, at most: those of 32 pages, each of which holds fewer than 100 as short as can be.
const OF_PAGES: i64 = 32 * 100;

/// Connections that check sessions of which none may be refused.
struct Checkers {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<usize>>,
    rounds: Arc<AtomicUsize>,
}

impl Checkers {
    fn start(database: &Database, prefix: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicUsize::new(0));
        let threads = (0..2)
            .map(|_| {
                let (stop, rounds, prefix) = (stop.clone(), rounds.clone(), prefix.to_owned());
                let mut client = database.connect();
                thread::spawn(move || {
                    let mut refused = 0;
                    while !stop.load(Ordering::Relaxed) {
                        refused += count - check_many(&mut client, &prefix, count) as usize;
                        rounds.fetch_add(1, Ordering::Relaxed);
                    }
                    refused
                })
            })
            .collect();
        Self { stop, threads, rounds }
    }

    /// Stops them: how many checks said false, and how many rounds were made.
    fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let refused = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a checker"))
            .sum();
        (refused, self.rounds.load(Ordering::Relaxed))
    }
}

/// The most rows of a table that one transaction has written.
fn most_of_a_transaction(client: &mut Client, table: &str) -> i64 {
    client.value(
        &format!(
            "SELECT max(rows) \
             FROM (SELECT count(*) AS rows FROM session_timeout.{table} GROUP BY xmin::text) AS transactions"
        ),
        &[],
    )
}

fn fill(client: &mut Client, round: usize, expired: usize) {
    client.run("BEGIN");
    client.write(
        "INSERT INTO session_timeout.session (digest, opened_at, last_activity) \
         SELECT session_timeout.session_digest('idle-' || $1::bigint || '-' || n), \
                clock_timestamp() - interval '4 hours', clock_timestamp() - interval '3 hours' \
         FROM generate_series(1, $2::bigint) AS n",
        &[&(round as i64), &(expired as i64)],
    );
    client.run("COMMIT");
}

#[test]
fn a_table_of_expired_sessions_is_purged_while_checks_go_on() {
    let (expired, alive) = (size(90_000, 900_000), size(10_000, 100_000));
    // The purge is to make room by itself: VACUUM comes when this test says.
    let server = preloaded::builder()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", "200000")
        .start();
    let database = server.database("volume");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    open_many(&mut client, "alive", alive);
    let mut bytes = Vec::new();
    let rounds = size(2, 3);
    for round in 0..rounds {
        let checkers = Checkers::start(&database, "alive", 500);
        fill(&mut client, round, expired);
        eventually("all that has expired is purged", LONG, || {
            let events: i64 = client.value("SELECT count(*) FROM session_timeout.session_event", &[]);
            events >= ((round + 1) * expired) as i64
        });
        let (refused, checked) = checkers.end();
        assert_eq!(refused, 0, "sessions that are alive were refused");
        assert!(checked > 0);
        // VACUUM after each purge, as autovacuum would: the next ones fit where these were. Whether it could also cut off
        // the table's end hangs on who looks at the table just then.
        client.run("VACUUM (TRUNCATE off) session_timeout.session");
        bytes.push(client.value::<i64>("SELECT pg_relation_size('session_timeout.session')", &[]));
    }
    let most = most_of_a_transaction(&mut client, "session_event");
    assert!(most <= OF_PAGES, "a transaction purged {most} sessions");
    let row = client
        .query_one(
            "SELECT count(*), count(DISTINCT digest), count(*) FILTER (WHERE kind = 'idle_expired'), \
                    (SELECT count(*) FROM session_timeout.session) FROM session_timeout.session_event",
            &[],
        )
        .expect("events");
    let all = (rounds * expired) as i64;
    assert_eq!(
        (0..4).map(|n| row.get(n)).collect::<Vec<i64>>(),
        [all, all, all, alive as i64]
    );
    assert!(
        bytes[rounds - 1] as f64 <= bytes[0] as f64 * 1.2,
        "the table grew: {bytes:?}"
    );
    assert_eq!(check_many(&mut client, "alive", alive), alive as i64);
    assert_no_process_broke(&server);
}

#[test]
fn many_touched_sessions_are_flushed_in_small_transactions() {
    let count = size(100_000, 500_000);
    let server = preloaded::builder()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", &(count + count / 4).to_string())
        .start();
    let database = server.database("flush");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    open_many(&mut client, "active", count);
    for _ in 0..2 {
        let begun: DateTime<Utc> = Utc::now();
        assert_eq!(check_many(&mut client, "active", count), count as i64);
        eventually("all activity is written down", LONG, || {
            client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
        });
        let most = most_of_a_transaction(&mut client, "session");
        assert!(most <= BATCH, "a transaction flushed {most} rows");
    }
    let row = client
        .query_one(
            "SELECT registry_full, lost_touches FROM session_timeout.stat_session_timeout",
            &[],
        )
        .expect("counters");
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1)),
        (0, 0),
        "the registry had room for all"
    );
    assert_no_process_broke(&server);
}

/// The registry is one partition, and has the sessions that are checked all the time, more than a batch, before the others.
#[test]
fn sessions_that_follow_ever_busy_ones_are_flushed_too() {
    let (hot, cold) = (2 * BATCH as usize, 100);
    let server = preloaded::builder()
        .setting("session_timeout.max_sessions", "1500")
        .start();
    let database = server.database("behind");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    for (prefix, count) in [("hot", hot), ("cold", cold)] {
        open_many(&mut client, prefix, count);
        assert_eq!(check_many(&mut client, prefix, count), count as i64);
    }
    let checkers = Checkers::start(&database, "hot", hot);
    for _ in 0..3 {
        let begun = Utc::now();
        assert_eq!(check_many(&mut client, "cold", cold), cold as i64);
        eventually("their activity is written down", SOON, || {
            let least = "SELECT min(last_activity) FROM session_timeout.session \
                         WHERE digest IN (SELECT session_timeout.session_digest('cold-' || n) \
                                          FROM generate_series(1, $1::bigint) AS n)";
            client.value::<DateTime<Utc>>(least, &[&(cold as i64)]) >= begun
        });
    }
    assert_eq!(checkers.end().0, 0);
}

/// What a worker writes to this column takes so many milliseconds and more, and is written to the log.
fn make_slow(client: &mut Client, table: &str, column: &str, milliseconds: usize) {
    client.run(&format!(
        "CREATE FUNCTION public.slow(at timestamptz) RETURNS timestamptz IMMUTABLE LANGUAGE plpgsql AS $$
         DECLARE
             done timestamptz := clock_timestamp() + interval '{milliseconds} ms';
         BEGIN
             IF current_setting('search_path') = 'pg_catalog' THEN
                 WHILE clock_timestamp() < done LOOP END LOOP;
                 RAISE LOG 'slow work';
             END IF;
             RETURN at;
         END $$;
         CREATE INDEX ON session_timeout.{table} (public.slow({column}))"
    ));
}

/// How much of that work each worker process did: one makes one pass.
fn done_by(server: &Server) -> HashMap<i32, usize> {
    let mut done = HashMap::new();
    for line in server.log().lines().filter(|line| line.ends_with("LOG:  slow work")) {
        let process = line.split(['[', ']']).nth(1).and_then(|pid| pid.parse().ok());
        *done.entry(process.expect("a process")).or_default() += 1;
    }
    done
}

/// The most that one of them did.
fn most_of_a_pass(server: &Server) -> usize {
    done_by(server).into_values().max().expect("slow work")
}

/// What a pass can do in its 2 s, at a millisecond a row, however fast or busy the machine is.
const OF_A_PASS: usize = 2000;

#[test]
fn a_flush_ends_after_two_seconds_and_the_next_pass_resumes_it() {
    const COUNT: usize = 6000;
    let server = preloaded::builder().start();
    let database = server.database("budget");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    make_slow(&mut client, "session", "last_activity", 1);
    open_many(&mut client, "many", COUNT);
    let begun = Utc::now();
    assert_eq!(check_many(&mut client, "many", COUNT), COUNT as i64);
    eventually("all activity is written down", LONG, || {
        client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
    });
    let most = most_of_a_pass(&server);
    assert!(most <= OF_A_PASS + BATCH as usize, "a pass flushed {most} rows");
}

/// The parameters have changed since the pass began, and their table is locked when the purge comes to them.
#[test]
fn a_pass_does_not_wait_for_the_table_of_parameters() {
    let server = preloaded::builder().start();
    let database = server.database("parameters");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    make_slow(&mut client, "session", "last_activity", 1);
    open_many(&mut client, "many", 1000);
    fill(&mut client, 0, 10);
    let (mut observer, mut before) = (server.connect(), HashSet::new());
    for _ in 0..3 {
        assert_eq!(check_many(&mut client, "many", 1000), 1000);
        let pid = wait_for("a worker is at the flush", SOON, || {
            done_by(&server).into_keys().find(|pid| before.insert(*pid))
        });
        client.set_param("mine", Some("1"));
        client.run("BEGIN; LOCK TABLE session_timeout.config_parameter IN ACCESS EXCLUSIVE MODE");
        eventually("the pass has ended", SOON, || {
            !observer.value::<bool>("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)", &[&pid])
        });
        client.run("ROLLBACK");
    }
}

#[test]
fn a_purge_ends_after_two_seconds_and_the_next_pass_resumes_it() {
    const COUNT: usize = 10_000;
    let server = preloaded::builder().start();
    let database = server.database("budget");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 hour"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    make_slow(&mut client, "session_event", "at", 1);
    fill(&mut client, 0, COUNT);
    eventually("all that has expired is purged", LONG, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session", &[]) == 0
    });
    let most = most_of_a_pass(&server);
    assert!(most <= OF_A_PASS + OF_PAGES as usize, "a pass purged {most} sessions");
}

#[test]
fn more_future_clocks_than_one_pass_can_set_take_several() {
    const COUNT: usize = 4000;
    /// Rows that one transaction sets back, at most.
    const TOGETHER: usize = 256;
    let server = preloaded::builder().own_clock().start();
    server.set_clock(24 * 60 * 60);
    let database = server.database("ahead");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 hour"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    make_slow(&mut client, "session", "last_activity", 2);
    open_many(&mut client, "ahead", COUNT);
    server.set_clock(0);
    eventually("all clocks are set to now", LONG, || {
        client.value::<DateTime<Utc>>("SELECT max(last_activity) FROM session_timeout.session", &[]) <= Utc::now()
    });
    let most = most_of_a_pass(&server);
    assert!(most <= OF_A_PASS / 2 + TOGETHER, "a pass set back {most} clocks");
}
