//! What grows with what: each thing at three sizes, in one run, and whether it is flat or linear.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param};

use crate::launcher::{parent_of, pid_of, time_of_children};
use crate::sample::median;
use crate::scale::Scale;

/// How a cost may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Not at all.
    Flat,
    /// As the size.
    Linear,
}

/// One thing at each size.
pub struct Row {
    /// What.
    pub what: &'static str,
    /// What the size is of.
    pub size_of: &'static str,
    /// The unit of the figures.
    pub unit: &'static str,
    /// How it may grow.
    pub growth: Growth,
    /// Size and cost.
    pub figures: Vec<(u64, f64)>,
}

impl Row {
    /// The cost at the largest size by that at the smallest, each by its size where it is linear.
    pub fn ratio(&self) -> f64 {
        let cost = |&(size, cost): &(u64, f64)| match self.growth {
            Growth::Flat => cost,
            Growth::Linear => cost / size as f64,
        };
        match (self.figures.first(), self.figures.last()) {
            (Some(first), Some(last)) => cost(last) / cost(first),
            _ => f64::NAN,
        }
    }

    /// The most that the ratio may be.
    pub fn most(&self) -> f64 {
        match self.growth {
            Growth::Flat => 1.5,
            Growth::Linear => 1.2,
        }
    }
}

/// All rows.
pub fn all(scale: &Scale, say: impl Fn(&str)) -> Vec<Row> {
    let sizes = |largest: [u64; 3]| largest.map(|size| (size / scale.cost_divisor).max(100));
    let row = |what, size_of, unit, growth, largest: [u64; 3], cost: &dyn Fn(u64) -> f64| {
        let figures = sizes(largest).map(|size| {
            say(&format!("{what}, {size} {size_of}"));
            (size, cost(size))
        });
        Row {
            what,
            size_of,
            unit,
            growth,
            figures: figures.to_vec(),
        }
    };
    use Growth::{Flat, Linear};
    let millions = [100_000, 1_000_000, 10_000_000];
    vec![
        row(
            "a pass with nothing to do",
            "max_sessions",
            "ms",
            Flat,
            millions,
            &|size| idle_pass(size, 0),
        ),
        row(
            "a purge that finds nothing",
            "sessions",
            "ms",
            Flat,
            [100_000, 1_000_000, 3_000_000],
            &|size| idle_pass(size, size),
        ),
        row(
            "a check where the registry is full",
            "max_sessions",
            "µs",
            Flat,
            [10_000, 100_000, 1_000_000],
            &full,
        ),
        row(
            "a check of an unknown session id",
            "max_sessions",
            "µs",
            Flat,
            [10_000, 100_000, 1_000_000],
            &unknown,
        ),
        row(
            "retention behind an old snapshot",
            "events",
            "ms",
            Linear,
            [100_000, 200_000, 400_000],
            &retention,
        ),
        row(
            "a check after savepoints",
            "savepoints",
            "ms",
            Linear,
            [10_000, 20_000, 40_000],
            &savepoints,
        ),
        row(
            "DELETE by hand",
            "sessions",
            "ms",
            Linear,
            [50_000, 100_000, 200_000],
            &delete,
        ),
    ]
}

fn server(max_sessions: u64) -> Server {
    Server::builder()
        .durable()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.max_sessions", &max_sessions.to_string())
        .setting("session_timeout.naptime", "1")
        .setting("autovacuum", "off")
        .setting("shared_buffers", "2GB")
        .setting("max_wal_size", "20GB")
        .setting("checkpoint_timeout", "1h")
        .start()
}

fn fill(client: &mut Client, from: u64, sessions: u64) {
    run(
        client,
        &format!(
            "SELECT count(session_timeout.open_session('cost ' || n)) FROM generate_series({from}, {from} + {sessions} - 1) AS n"
        ),
    );
}

fn run(client: &mut Client, sql: &str) {
    client
        .batch_execute(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn is_true(client: &mut Client, sql: &str) -> bool {
    client
        .query_one(sql, &[])
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .get(0)
}

/// Milliseconds of processor time of a worker's whole life, which purges and finds nothing.
fn idle_pass(max_sessions: u64, sessions: u64) -> f64 {
    const PASSES: u32 = 20;
    let server = server(max_sessions);
    let database = server.database("cost");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    if sessions > 0 {
        fill(&mut client, 1, sessions);
    }
    let planned = "SELECT next_purge > clock_timestamp() + interval '50 minutes' AND pid IS NULL \
                   FROM session_timeout.stat_worker WHERE datname = current_database()";
    let rest = |client: &mut Client| {
        eventually("the purge is done", Duration::from_secs(300), || {
            is_true(client, planned)
        });
    };
    rest(&mut client);
    let postmaster = parent_of(pid_of(&mut client, "session_timeout launcher"));
    let before = time_of_children(postmaster);
    for _ in 0..PASSES {
        // Makes a page due.
        run(&mut client, "BEGIN");
        run(&mut client, "SELECT session_timeout.open_session('never open')");
        run(&mut client, "ROLLBACK");
        rest(&mut client);
    }
    (time_of_children(postmaster) - before) / f64::from(PASSES)
}

/// Microseconds of a check that finds all entries dirty, and of others.
fn full(max_sessions: u64) -> f64 {
    let server = server(max_sessions);
    let database = server.database("cost");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1 day")]);
    let mut client = database.connect();
    let checked = max_sessions + max_sessions / 4;
    fill(&mut client, 1, checked + 10_000);
    let _holder = keep_from_flushing(&database);
    run(
        &mut client,
        &format!("SELECT count(session_timeout.check_session('cost ' || n)) FROM generate_series(1, {checked}) AS n"),
    );
    call(&mut client, &format!("'cost ' || n + {checked}"))
}

/// Microseconds of a check of a session id that nobody has.
fn unknown(max_sessions: u64) -> f64 {
    let server = server(max_sessions);
    let database = server.database("cost");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1 day")]);
    let mut client = database.connect();
    fill(&mut client, 1, max_sessions / 2);
    call(&mut client, "'nobody ' || n")
}

/// Keeps the worker from flushing as long as what is returned lives: a lock that conflicts with the worker's and not with a
/// check's.
fn keep_from_flushing(database: &Database) -> Client {
    let mut holder = database.connect();
    run(&mut holder, "BEGIN; LOCK TABLE session_timeout.session IN SHARE MODE");
    holder
}

/// Microseconds of a check inside the backend, the loop apart.
fn call(client: &mut Client, sid: &str) -> f64 {
    const CALLS: u32 = 10_000;
    let mut time = |expression: &str| {
        let sql = format!(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count({expression}) FROM (
                 SELECT {sid} AS sid FROM generate_series(1, {CALLS}) AS n OFFSET 0) AS s"
        );
        median((0..5).map(|_| {
            let plan: serde_json::Value = client.query_one(&sql, &[]).expect("a plan").get(0);
            plan[0]["Execution Time"].as_f64().expect("a time") * 1e3 / f64::from(CALLS)
        }))
    };
    time("session_timeout.check_session(sid)") - time("sid")
}

/// Milliseconds of a worker's processor time until all events are deleted while somebody's snapshot keeps them.
fn retention(events: u64) -> f64 {
    let server = server(10_000);
    let database = server.database("cost");
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    let (mut client, mut holder) = (database.connect(), database.connect());
    run(
        &mut client,
        &format!(
            "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity)
             SELECT now() - interval '1 day', sha256(n::text::bytea), 'closed', now() FROM generate_series(1, {events}) AS n"
        ),
    );
    run(
        &mut holder,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM session_timeout.session_event",
    );
    let postmaster = parent_of(pid_of(&mut client, "session_timeout launcher"));
    let before = time_of_children(postmaster);
    database.set_params(&[(param::EVENT_RETENTION, "1 hour")]);
    eventually("all events are deleted", Duration::from_secs(600), || {
        thread::sleep(Duration::from_millis(100));
        is_true(
            &mut client,
            "SELECT pid IS NULL AND NOT EXISTS (SELECT FROM session_timeout.session_event) \
             FROM session_timeout.stat_worker WHERE datname = current_database()",
        )
    });
    time_of_children(postmaster) - before
}

/// Milliseconds of as many savepoints, each with a check of a session that the transaction has changed.
fn savepoints(count: u64) -> f64 {
    let server = server(10_000);
    let database = server.database("cost");
    let mut client = database.connect();
    run(&mut client, "BEGIN; SELECT session_timeout.open_session('changed')");
    let mut sql = String::new();
    for _ in 0..1_000 {
        let _ = write!(sql, "SAVEPOINT s; SELECT session_timeout.check_session('changed');");
    }
    let begun = Instant::now();
    for _ in 0..count.div_ceil(1_000) {
        run(&mut client, &sql);
    }
    let time = begun.elapsed().as_secs_f64() * 1_000.0;
    run(&mut client, "ROLLBACK");
    time
}

/// Milliseconds of a DELETE by hand of all sessions, and of its commit.
fn delete(sessions: u64) -> f64 {
    let server = server(sessions);
    let database = server.database("cost");
    let mut client = database.connect();
    fill(&mut client, 1, sessions);
    let begun = Instant::now();
    run(&mut client, "DELETE FROM session_timeout.session");
    begun.elapsed().as_secs_f64() * 1_000.0
}
