//! How it goes with many sessions: time of a check, memory, start-up, flush and purge.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, Shutdown, param};

use crate::launcher::run_time;
use crate::load::Until;
use crate::peers::{self, CHECK, FIRST_SID, Isolation, URL, chunks};
use crate::sample::{Series, median};
use crate::scale::Scale;
use crate::wal;

/// A registry for so many sessions, all of them in it.
pub struct Row {
    /// How many.
    pub sessions: u64,
    /// Milliseconds until a server takes connections.
    pub start: f64,
    /// Bytes of shared memory.
    pub memory: u64,
    /// Checks by one client.
    pub check: Series,
    /// Nanoseconds of a check inside the backend.
    pub call: f64,
    /// All sessions' activity written down.
    pub flush: Option<Rate>,
    /// Half of the sessions deleted, without events.
    pub purge: Option<Rate>,
    /// The other half deleted, with events.
    pub purge_with_events: Option<Rate>,
}

/// How fast the worker was.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Rows.
    pub rows: u64,
    /// Seconds during which a worker was there.
    pub busy: f64,
    /// Seconds from the first to the last.
    pub total: f64,
    /// Seconds of processor time of the workers.
    pub processor: f64,
    /// WAL bytes a row, images of full pages apart.
    pub record_bytes: f64,
    /// Bytes of images of full pages, a row.
    pub image_bytes: f64,
}

impl Rate {
    /// Rows a second of a worker's time.
    pub fn of_worker(&self) -> f64 {
        self.rows as f64 / self.busy
    }

    /// Rows a second of a worker's processor time: what is left where others take the processors too.
    pub fn of_processor(&self) -> f64 {
        self.rows as f64 / self.processor
    }
}

/// WAL bytes of the smallest HOT update there can be: a row of two columns, nothing else in the table, one statement for
/// all rows, room on every page.
pub fn smallest_update(database: &Database) -> f64 {
    let mut client = database.connect();
    for sql in [
        "CREATE TABLE smallest (id integer, at timestamptz) WITH (fillfactor = 45, autovacuum_enabled = off)",
        "INSERT INTO smallest SELECT n, clock_timestamp() FROM generate_series(1, 100000) AS n",
        "VACUUM smallest",
        "CHECKPOINT",
        // So that no page needs an image afterwards.
        "UPDATE smallest SET at = clock_timestamp()",
        "VACUUM smallest",
    ] {
        client.batch_execute(sql).expect("the smallest table");
    }
    let before = wal::here(&mut client);
    client
        .batch_execute("UPDATE smallest SET at = clock_timestamp()")
        .expect("the smallest update");
    let after = wal::here(&mut client);
    let written = wal::between(database.server(), &mut client, &before, &after);
    written.record_bytes as f64 / 100_000.0
}

/// All sizes, taking turns.
pub fn all(scale: &Scale, say: impl Fn(&str)) -> Vec<Row> {
    let servers: Vec<(u64, Server, f64)> = scale
        .growth
        .iter()
        .map(|&sessions| {
            say(&format!("a server with {sessions} sessions"));
            let server = start(sessions);
            let times = (0..3).map(|_| {
                server.stop(Shutdown::Fast);
                let begun = Instant::now();
                server.start();
                begun.elapsed().as_secs_f64() * 1000.0
            });
            let start = median(times.collect::<Vec<_>>());
            (sessions, server, start)
        })
        .collect();
    let mut growing: Vec<(Row, Database)> = servers
        .iter()
        .map(|(sessions, server, start)| (empty_row(*sessions, *start), server.database("growth")))
        .collect();
    for (row, database) in &mut growing {
        database.set_params(&[
            (param::FLUSH_INTERVAL, "1 day"),
            (param::PURGE_INTERVAL, "1 day"),
            (param::DELAY, "30 days"),
        ]);
        peers::fill(database, row.sessions, "");
        database.execute("VACUUM ANALYZE session_timeout.session");
        row.memory = memory(database);
        touch_all(database, row.sessions);
        row.call = call(database, row.sessions, scale.calls);
    }
    say("checks by one client, at each size in turn");
    for _ in 0..scale.rounds {
        for (row, database) in &mut growing {
            let until = Until::Seconds(scale.seconds);
            let sample = CHECK.run(database, row.sessions, Isolation::ReadCommitted, 1, until);
            row.check.0.push(sample);
        }
    }
    for (row, database) in &mut growing {
        if row.sessions >= scale.maintenance_from {
            say(&format!("flush and purge of {} sessions", row.sessions));
            maintain(row, database);
        }
    }
    growing.into_iter().map(|(row, _)| row).collect()
}

fn start(sessions: u64) -> Server {
    Server::builder()
        .durable()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.max_sessions", &sessions.to_string())
        .setting("session_timeout.naptime", "1")
        .setting("shared_buffers", "2GB")
        .setting("max_wal_size", "20GB")
        .setting("checkpoint_timeout", "1h")
        .setting("maintenance_work_mem", "512MB")
        .start()
}

fn empty_row(sessions: u64, start: f64) -> Row {
    Row {
        sessions,
        start,
        memory: 0,
        check: Series::default(),
        call: f64::NAN,
        flush: None,
        purge: None,
        purge_with_events: None,
    }
}

fn memory(database: &Database) -> u64 {
    let sql = "SELECT allocated_size FROM pg_shmem_allocations WHERE name = 'inactive_session_timeout'";
    let row = database.connect().query_one(sql, &[]).expect("shared memory");
    row.get::<_, i64>(0) as u64
}

fn touch_all(database: &Database, sessions: u64) {
    for (first, last) in chunks(sessions) {
        database.execute(&format!(
            "SELECT count(session_timeout.check_session(({FIRST_SID} + n)::text, '{URL}'))
                 FROM generate_series({first}, {last}) AS n"
        ));
    }
}

/// Nanoseconds of a check of sessions in random order, the loop apart.
fn call(database: &Database, sessions: u64, calls: u64) -> f64 {
    let mut client = database.connect();
    let mut time = |expression: &str| {
        // A prime step leads to another place each time.
        let sql = format!(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count({expression}) FROM (
                 SELECT ({FIRST_SID} + mod(n::bigint * 2147483647, {sessions}))::text AS sid
                 FROM generate_series(1, {calls}) AS n OFFSET 0) AS s"
        );
        median((0..3).map(|_| {
            let plan: serde_json::Value = client.query_one(&sql, &[]).expect("a plan").get(0);
            plan[0]["Execution Time"].as_f64().expect("a time") * 1e6 / calls as f64
        }))
    };
    time(&format!("session_timeout.check_session(sid, '{URL}')")) - time("sid")
}

/// Every session has been touched: writes that down, then deletes one half without events and the other with them.
fn maintain(row: &mut Row, database: &Database) {
    let sessions = row.sessions;
    let half = sessions / 2;
    row.flush = Some(rate(database, "flushed", sessions, &[(param::FLUSH_INTERVAL, "1")]));
    database.set_params(&[(param::FLUSH_INTERVAL, "1 day")]);
    // Every other session is twenty days old, the others ten.
    let without = [
        (param::EVENT_RETENTION, "0"),
        (param::ABSOLUTE_DELAY, "15 days"),
        (param::PURGE_INTERVAL, "1"),
    ];
    row.purge = Some(rate(database, "purged", half, &without));
    let with = [(param::EVENT_RETENTION, "30 days"), (param::ABSOLUTE_DELAY, "5 days")];
    row.purge_with_events = Some(rate(database, "purged", sessions - half, &with));
}

/// Lets the worker do it, and watches what `stat_worker` counts.
fn rate(database: &Database, counter: &str, rows: u64, params: &[(&str, &str)]) -> Rate {
    const POLL: Duration = Duration::from_millis(5);
    const DEADLINE: Duration = Duration::from_secs(600);
    let mut client = database.connect();
    client.batch_execute("CHECKPOINT").expect("CHECKPOINT");
    let look = client
        .prepare(&format!(
            "SELECT {counter}, pid FROM session_timeout.stat_worker WHERE datname = current_database()"
        ))
        .expect("stat_worker");
    let state = |client: &mut Client| {
        let row = client.query_one(&look, &[]).expect("stat_worker");
        (row.get::<_, i64>(0) as u64, row.get::<_, Option<i32>>(1))
    };
    let (before, _) = state(&mut client);
    let from = wal::here(&mut client);
    database.set_params(params);
    let set = Instant::now();
    let (mut begun, mut busy, mut last) = (None, Duration::ZERO, Instant::now());
    // Of each worker, the last that was seen.
    let mut run_times = HashMap::new();
    let (done, total) = loop {
        std::thread::sleep(POLL);
        let (count, worker) = state(&mut client);
        let now = Instant::now();
        if let Some((pid, run_time)) = worker.and_then(|pid| Some((pid, run_time(pid)?))) {
            run_times.insert(pid, run_time);
            begun.get_or_insert(last);
            busy += now - last;
        }
        last = now;
        if count - before >= rows && worker.is_none() {
            break (count - before, now - begun.unwrap_or(set));
        }
        assert!(set.elapsed() < DEADLINE, "{counter}: {} of {rows}", count - before);
    };
    let to = wal::here(&mut client);
    let written = wal::between(database.server(), &mut client, &from, &to);
    Rate {
        rows: done,
        busy: busy.as_secs_f64(),
        total: total.as_secs_f64(),
        processor: run_times.values().sum::<f64>() / 1000.0,
        record_bytes: written.record_bytes as f64 / done as f64,
        image_bytes: written.image_bytes as f64 / done as f64,
    }
}
