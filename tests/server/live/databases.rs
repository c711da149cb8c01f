//! Many databases: dropped, renamed and copied under the worker, new, closed, failing, and more than there are workers
//! for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::{Client, NoTls};
use session_timeout_tests::{Database, Server, eventually, param, settles, stays, wait_for};

use crate::support::preloaded::{self, QUICK, install};
use crate::support::{
    SOON, SessionCalls, assert_no_process_broke, check_many, connect_hearing, open_expired, open_many, processes,
    signal, size, transactions, wait_until_gone, worker_figure,
};

/// With one place, that of `postgres` and of every other database without the extension is needed.
#[test]
fn a_database_beyond_those_that_are_held_is_warned_of_and_served_from_its_rows() {
    let server = preloaded::builder()
        .setting("session_timeout.max_databases", "1")
        .start();
    let _without = server.database_builder("without").without_extension().create();
    let first = preloaded::database_on(&server, "first", &QUICK);
    let second = server.database_builder("second").without_extension().create();
    let (mut client, heard) = connect_hearing(&second);
    client.run(&install(&QUICK));
    let hints: Vec<String> = heard
        .lock()
        .expect("unpoisoned")
        .iter()
        .filter_map(|notice| notice.hint().map(str::to_owned))
        .collect();
    assert!(
        hints.iter().any(|hint| hint.contains("session_timeout.max_databases")),
        "{hints:?}"
    );
    let said = || {
        server
            .log()
            .matches("LOG:  all 1 places for databases are taken")
            .count()
    };
    eventually("the launcher says it", SOON, || said() > 0);
    client.open("kept");
    client.open("closed");
    assert!(client.check("kept") && client.check("closed"));
    assert!(client.close_sid("closed"));
    assert!(!client.check("closed"));
    let mut served = first.connect();
    open_expired(&mut served, "forgotten");
    wait_until_gone(&mut served, "forgotten");
    assert_eq!(said(), 1, "it is said once");
    drop(served);
    drop(first);
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    assert!(client.check("kept"));
}

/// Whether a process has been told to end, and has not noticed yet.
fn is_told_to_end(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let pending = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:"))
        .expect("signals");
    u64::from_str_radix(pending.trim(), 16).expect("a number") & (1 << (15 - 1)) != 0
}

/// Locks what the workers of a database need, and stops one that waits for it: it holds nothing then that other processes wait
/// for.
fn stop_worker(admin: &mut Client, database: &Database) -> (i32, Client) {
    let mut holder = database.connect();
    open_expired(&mut holder, "forgotten");
    holder.run("BEGIN; LOCK TABLE pg_catalog.pg_depend IN ACCESS EXCLUSIVE MODE");
    let sql = "SELECT pid FROM pg_stat_activity \
               WHERE backend_type = 'session_timeout worker' AND datname = $1 AND wait_event_type = 'Lock'";
    let worker = wait_for("a worker waits", SOON, || {
        let row = admin.query_opt(sql, &[&database.name()]).expect("pg_stat_activity");
        row.map(|row| row.get(0))
    });
    assert!(signal(worker, "STOP"));
    (worker, holder)
}

#[test]
fn a_worker_that_takes_too_long_is_told_to_end() {
    let server = preloaded::builder().start();
    let mut admin = server.connect();
    let busy = preloaded::database_on(&server, "busy", &QUICK);
    let (worker, mut holder) = stop_worker(&mut admin, &busy);
    eventually("it is told to end", SOON, || is_told_to_end(worker));
    assert!(signal(worker, "CONT"));
    holder.run("ROLLBACK");
    let said = || server.log().matches("it had not finished after 10 s").count();
    eventually("that is said", SOON, || said() > 0);
    wait_until_gone(&mut holder, "forgotten");
    eventually("its failures are over", SOON, || {
        worker_figure(&mut holder, "failures") == 0
    });
    assert_eq!(said(), 1, "it is said once");
}

#[test]
fn a_launcher_that_is_started_again_knows_the_workers_that_run() {
    let server = preloaded::builder().setting("session_timeout.max_workers", "1").start();
    let mut admin = server.connect();
    let [busy, other] = ["busy", "other"].map(|hint| preloaded::database_on(&server, hint, &QUICK));
    let (worker, mut holder) = stop_worker(&mut admin, &busy);
    let launcher = processes(&mut admin, "session_timeout launcher");
    assert!(signal(launcher[0], "TERM"));
    eventually("another launcher comes", SOON, || {
        let now = processes(&mut admin, "session_timeout launcher");
        now.len() == 1 && now != launcher
    });
    let mut client = other.connect();
    open_expired(&mut client, "waiting");
    assert!(!client.check("waiting"));
    eventually("it is told to end", SOON, || {
        assert_eq!(processes(&mut admin, "session_timeout worker"), [worker]);
        is_told_to_end(worker)
    });
    assert!(signal(worker, "CONT"));
    wait_until_gone(&mut client, "waiting");
    holder.run("ROLLBACK");
    wait_until_gone(&mut holder, "forgotten");
}

/// Looks at the workers as often as it can.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

#[derive(Default)]
struct Watched {
    most_at_once: usize,
    databases: BTreeSet<String>,
}

impl Watch {
    fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = server.connect();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut watched = Watched::default();
            let sql =
                "SELECT coalesce(datname, '') FROM pg_stat_activity WHERE backend_type = 'session_timeout worker'";
            let statement = client.prepare(sql).expect("prepare");
            while !stopped.load(Ordering::Relaxed) {
                let rows = client.query(&statement, &[]).expect("pg_stat_activity");
                watched.most_at_once = watched.most_at_once.max(rows.len());
                watched.databases.extend(rows.iter().map(|row| row.get::<_, String>(0)));
                thread::sleep(Duration::from_millis(3));
            }
            watched
        });
        Self { stop, thread }
    }

    fn end(self) -> Watched {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch")
    }
}

#[test]
fn many_databases_are_served_in_their_time_by_a_few_workers() {
    let server = preloaded::builder()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", "150000")
        .start();
    let databases = size(12, 50);
    let watch = Watch::start(&server);
    let mut with = Vec::new();
    let mut without = Vec::new();
    for n in 0..databases {
        if n % 2 == 0 {
            let database = server.database("served");
            database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
            with.push(database);
        } else {
            without.push(server.database_builder("without").without_extension().create());
        }
    }
    for _ in 0..2 {
        let begun: DateTime<Utc> = Utc::now();
        for database in &with {
            let mut client = database.connect();
            client.run("DELETE FROM session_timeout.session; DELETE FROM session_timeout.session_event");
            open_many(&mut client, "active", 3000);
            open_many(&mut client, "idle", 10);
            client.run(
                "UPDATE session_timeout.session SET last_activity = '2020-01-01' \
                 WHERE digest IN (SELECT session_timeout.session_digest('idle-' || n) FROM generate_series(1, 10) AS n)",
            );
            assert_eq!(check_many(&mut client, "active", 3000), 3000);
        }
        for database in &with {
            let mut client = database.connect();
            eventually("its sessions are flushed and purged", SOON, || {
                let row = client
                    .query_one(
                        "SELECT count(*) FILTER (WHERE last_activity >= $1 AND last_activity > opened_at), count(*), \
                                (SELECT count(*) FROM session_timeout.session_event WHERE kind = 'idle_expired') \
                         FROM session_timeout.session",
                        &[&begun],
                    )
                    .expect("sessions");
                (0..3).map(|n| row.get::<_, i64>(n)).eq([3000, 3000, 10])
            });
        }
    }
    // The statistics come a little later.
    let mut observer = server.connect();
    let a_while = Duration::from_millis(1500);
    let seen = settles("databases without the extension are left alone", SOON, a_while, || {
        transactions(&mut observer, "^without")
    });
    let watched = watch.end();
    assert!(watched.most_at_once <= 2, "{} workers at once", watched.most_at_once);
    let watch = Watch::start(&server);
    let mut client = with[0].connect();
    stays("active sessions are valid", Duration::from_secs(3), || {
        check_many(&mut client, "active", 20) == 20
    });
    let watched = watch.end();
    assert!(
        !watched.databases.iter().any(|name| name.starts_with("without")),
        "{:?}",
        watched.databases
    );
    assert_eq!(
        seen,
        transactions(&mut observer, "^without"),
        "a worker came to a database without the extension"
    );
    assert_no_process_broke(&server);
}

#[test]
fn a_database_is_served_soon_after_its_extension_is_created() {
    let server = preloaded::builder().setting("autovacuum", "off").start();
    let late = server.database_builder("late").without_extension().create();
    // A worker has looked, and found nothing.
    let mut observer = server.connect();
    eventually("a worker has come by", SOON, || {
        transactions(&mut observer, "^late")
            .iter()
            .any(|(_, number)| *number > 0)
    });
    let mut client = late.connect();
    client.run("CREATE EXTENSION inactive_session_timeout");
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    client.set_param(param::PURGE_INTERVAL, Some("1"));
    // The launcher was told: it does not look again by itself.
    eventually("its sessions are purged", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    // Dropped, it is left alone.
    client.run("DROP EXTENSION inactive_session_timeout");
    drop(client);
    settles("it is left alone", SOON, Duration::from_secs(2), || {
        transactions(&mut observer, "^late")
    });
}

#[test]
fn where_no_worker_process_is_free_maintenance_waits_and_says_so_once() {
    // One for the launcher, one for that of logical replication, and one that a query takes.
    let server = preloaded::builder()
        .setting("max_worker_processes", "3")
        .setting("max_parallel_workers", "3")
        .start();
    let database = server.database("waiting");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    let mut taker = server.connect();
    taker.run(
        "SELECT set_config(name, 'on', false) FROM pg_settings \
         WHERE name IN ('force_parallel_mode', 'debug_parallel_query')",
    );
    let mut observer = server.connect();
    let parallel = |observer: &mut Client| -> i64 {
        observer.value(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'",
            &[],
        )
    };
    let cancel = taker.cancel_token();
    let begun = server.log().len();
    let enough = Arc::new(AtomicBool::new(false));
    let is_enough = enough.clone();
    let taken = thread::spawn(move || {
        while !is_enough.load(Ordering::Relaxed) {
            let _ = taker.query_one("SELECT pg_sleep(100)", &[]);
        }
    });
    eventually("the process is taken", SOON, || {
        // Where a worker of ours has it at the moment, the query does without.
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            if parallel(&mut observer) > 0 {
                return true;
            }
        }
        cancel.cancel_query(NoTls).expect("cancel");
        false
    });
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    open_many(&mut client, "active", 10);
    let refused = |client: &mut Client| -> i64 {
        client.value(
            "SELECT coalesce(max(workers_refused), 0) FROM session_timeout.stat_worker",
            &[],
        )
    };
    eventually("stat_worker shows that it waits", SOON, || refused(&mut client) >= 3);
    assert_eq!(check_many(&mut client, "active", 10), 10);
    assert_eq!(check_many(&mut client, "idle", 10), 0);
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]),
        0
    );
    let said = server.log()[begun..]
        .matches("no background worker slot is free")
        .count();
    assert_eq!(said, 1, "it is said {said} times");

    enough.store(true, Ordering::Relaxed);
    cancel.cancel_query(NoTls).expect("cancel");
    taken.join().expect("the query");
    eventually("it goes on as soon as there is one", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    eventually("it no longer waits", SOON, || refused(&mut client) == 0);
}
