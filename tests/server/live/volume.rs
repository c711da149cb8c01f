//! Many sessions: purged and flushed while checks go on, pass by pass, and without the table growing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually, param, wait_for};

use super::cluster::{SOON, assert_no_process_broke, check_many, live, open_many, size};
use crate::support::SessionCalls;

/// A pass ends within 2 s; a busy machine takes its time to start and to end a process.
const PASS: f64 = 2.0 + 1.5;

/// How long the whole of it may take.
const LONG: Duration = Duration::from_secs(300);

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

/// The age of the oldest worker there is now, seconds.
fn age_of_worker(observer: &mut Client) -> f64 {
    observer.value(
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - backend_start)), 0)::float8 \
         FROM pg_stat_activity WHERE backend_type = 'session_timeout worker'",
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
    let server = live()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", "200000")
        .start();
    let database = server.database("volume");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    let mut observer = server.connect();
    open_many(&mut client, "alive", alive);
    let mut pages = Vec::new();
    let rounds = size(2, 3);
    for round in 0..rounds {
        let checkers = Checkers::start(&database, "alive", 500);
        fill(&mut client, round, expired);
        let mut longest: f64 = 0.0;
        let mut oldest_snapshot: f64 = 0.0;
        wait_for("all that has expired is purged", LONG, || {
            longest = longest.max(age_of_worker(&mut observer));
            oldest_snapshot = oldest_snapshot.max(observer.value(
                "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 \
                 FROM pg_stat_activity WHERE backend_type LIKE 'session_timeout %'",
                &[],
            ));
            let events: i64 = client.value("SELECT count(*) FROM session_timeout.session_event", &[]);
            (events >= ((round + 1) * expired) as i64).then_some(())
        });
        let (refused, checked) = checkers.end();
        assert_eq!(refused, 0, "sessions that are alive were refused");
        assert!(checked > 0);
        assert!(longest < PASS, "a pass took {longest} s");
        assert!(oldest_snapshot < 1.5, "a transaction took {oldest_snapshot} s");
        // VACUUM after each purge, as autovacuum would: the next ones fit where these were.
        client.run("VACUUM session_timeout.session");
        pages.push(client.value::<i64>("SELECT pg_relation_size('session_timeout.session')", &[]));
    }
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
        pages[rounds - 1] as f64 <= pages[0] as f64 * 1.2,
        "the table grew: {pages:?}"
    );
    assert_eq!(check_many(&mut client, "alive", alive), alive as i64);
    assert_no_process_broke(&server);
}

#[test]
fn many_touched_sessions_are_flushed_in_passes_that_end_in_time() {
    let count = size(100_000, 500_000);
    let server = live()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", &(count + count / 4).to_string())
        .start();
    let database = server.database("flush");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    let mut observer = server.connect();
    open_many(&mut client, "active", count);
    for _ in 0..2 {
        let begun: DateTime<Utc> = Utc::now();
        assert_eq!(check_many(&mut client, "active", count), count as i64);
        let mut longest: f64 = 0.0;
        eventually("all activity is written down", LONG, || {
            longest = longest.max(age_of_worker(&mut observer));
            client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
        });
        assert!(longest < PASS, "a pass took {longest} s");
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

/// The work takes its time by sleeping, so that what is measured does not hang on how busy the machine is: of the passes
/// that were cut off, the shortest was not held up by anything else.
#[test]
fn a_pass_that_has_too_much_to_do_ends_after_two_seconds_and_the_next_goes_on() {
    const COUNT: usize = 6000;
    let server = live().start();
    let database = server.database("budget");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    // Half a second for a batch of 500 rows, where it is the worker that writes them.
    client.run(
        "CREATE FUNCTION public.slow(at timestamptz) RETURNS timestamptz IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
             IF current_setting('search_path') = 'pg_catalog' THEN PERFORM pg_sleep(0.001); END IF;
             RETURN at;
         END $$;
         CREATE INDEX ON session_timeout.session (public.slow(last_activity))",
    );
    open_many(&mut client, "many", COUNT);
    let begun = Utc::now();
    assert_eq!(check_many(&mut client, "many", COUNT), COUNT as i64);
    let mut passes: HashMap<i32, f64> = HashMap::new();
    let mut observer = server.connect();
    let workers = "SELECT pid, extract(epoch FROM clock_timestamp() - backend_start)::float8 FROM pg_stat_activity \
                   WHERE backend_type = 'session_timeout worker' AND datname = $1";
    eventually("all activity is written down", LONG, || {
        for row in observer.query(workers, &[&database.name()]).expect("processes") {
            passes.insert(row.get(0), row.get(1));
        }
        client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
    });
    let cut_off: Vec<f64> = passes.into_values().filter(|seconds| *seconds > 1.5).collect();
    assert!(cut_off.len() >= 2, "one pass was enough: {cut_off:?}");
    let shortest = cut_off.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(shortest < 3.2, "passes took {cut_off:?} s");
}

/// The registry knows the opening before, and nobody has asked for the new one.
#[test]
fn a_session_that_was_opened_again_or_changed_and_never_checked_since_is_purged() {
    let server = live().start();
    let database = server.database("again");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    for sid in ["again", "changed"] {
        client.open(sid);
        assert!(client.check(sid));
        let activity = client.peek(sid).last_activity.expect("activity");
        eventually("its activity is written down", SOON, || {
            client.stored(sid).is_some_and(|row| row.last_activity >= activity)
        });
    }
    client.open_limited("again", Some("1 second"), None);
    client.has_been_idle("changed", "3 hours");
    for sid in ["again", "changed"] {
        eventually("it is purged", Duration::from_secs(20), || {
            client.event_kinds(sid) == ["idle_expired"]
        });
        assert_eq!(client.stored(sid), None);
    }
}
