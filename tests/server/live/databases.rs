//! Many databases: dropped, renamed and copied under the worker, new, closed, failing, and more than there are workers
//! for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::postgres::{Client, NoTls};
use session_timeout_tests::{Database, Server, Shutdown, eventually, param, settles, stays, wait_for};

use super::cluster::{
    Book, Load, assert_kept, assert_no_process_broke, catch_worker, check_many, connect, open_many, processes, signal,
    size,
};
use super::support::{QUICK, QUIET, database_of, install, open_expired, preloaded, wait_until_gone, worker_figure};
use crate::in_flight::SOON;
use crate::support::{SessionCalls, connect_hearing};

/// Sessions that keep workers busy for several passes.
const MANY: usize = 30_000;

/// A database with many sessions that are not limited yet.
fn make_template(server: &Server) -> String {
    server.execute("CREATE DATABASE full_of_sessions");
    let mut client = connect(server, "full_of_sessions");
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.set_param(param::DELAY, Some("0"));
    open_many(&mut client, "idle", MANY);
    client.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
    open_many(&mut client, "active", 1000);
    "full_of_sessions".to_owned()
}

/// A copy of it in which most sessions have expired, and the others are to be flushed.
fn make_busy(server: &Server, template: &str, name: &str) {
    server.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
    let mut client = connect(server, name);
    client.set_param(param::DELAY, Some("7200"));
    assert_eq!(check_many(&mut client, "active", 1000), 1000);
}

fn entries(client: &mut Client) -> i64 {
    client.value("SELECT entries FROM session_timeout.stat_session_timeout", &[])
}

#[test]
fn databases_are_dropped_renamed_and_copied_under_the_worker() {
    let server = preloaded().setting("autovacuum", "off").start();
    let other = server.database("other");
    let template = make_template(&server);
    let load = Load::start(&other.config(), "load", 2, Book::default());
    let mut admin = server.connect();
    for round in 0..size(5, 20) {
        // Each in the midst of a purge.
        let [renamed, copied, dropped] = ["renamed", "copied", "dropped"].map(|what| format!("{what}_{round}"));
        make_busy(&server, &template, &renamed);
        catch_worker(&mut admin, &renamed);
        admin.run(&format!("ALTER DATABASE {renamed} RENAME TO {renamed}_now"));
        make_busy(&server, &template, &copied);
        catch_worker(&mut admin, &copied);
        admin.run(&format!("CREATE DATABASE {copied}_now TEMPLATE {copied}"));
        make_busy(&server, &template, &dropped);
        catch_worker(&mut admin, &dropped);
        admin.run(&format!("DROP DATABASE {dropped}"));
        for left in [format!("{renamed}_now"), format!("{copied}_now"), copied] {
            admin.run(&format!("DROP DATABASE {left}"));
        }
    }
    let mut book = load.end(true);
    assert_kept(&mut other.connect(), &mut book, Utc::now());
    assert_no_process_broke(&server);
}

#[test]
fn nothing_of_a_dropped_database_stays_in_memory() {
    let server = preloaded().start();
    let observing = server.database("observing");
    let mut observer = observing.connect();
    for round in 0..size(2, 20) {
        // Of the same name, in which nothing of the old is found.
        server.execute("CREATE DATABASE again");
        let mut client = connect(&server, "again");
        client.run("CREATE EXTENSION inactive_session_timeout");
        assert_eq!(check_many(&mut client, "sid", 500), 0, "sessions of a dropped database");
        let before: i64 = client.value(
            "SELECT coalesce(sum(flushed + expired + purged), 0)::bigint FROM session_timeout.stat_worker \
             WHERE datname = current_database()",
            &[],
        );
        assert_eq!(before, 0, "what was done in a dropped database");
        open_many(&mut client, "sid", 500);
        assert_eq!(check_many(&mut client, "sid", 500), 500);
        // Some of them marked.
        client.run(&format!(
            "UPDATE session_timeout.session SET last_activity = '2020-01-01' \
             WHERE digest IN (SELECT session_timeout.session_digest('sid-' || n) FROM generate_series(1, 100) AS n); \
             SELECT count(session_timeout.check_session('sid-' || n)) FROM generate_series(1, {}) AS n",
            100 + round
        ));
        drop(client);
        server.execute("DROP DATABASE again");
        eventually("its sessions are forgotten", SOON, || entries(&mut observer) == 0);
        let shown: i64 = observer.value(
            "SELECT count(*) FROM session_timeout.stat_worker WHERE datname IS NULL OR datname = 'again'",
            &[],
        );
        assert_eq!(shown, 0);
    }
}

/// The launcher does not look before the shutdown.
#[test]
fn nothing_of_a_database_that_was_dropped_just_before_a_shutdown_comes_back() {
    let server = preloaded().setting("session_timeout.naptime", "3600").start();
    let observing = server.database("observing");
    let vanishing = database_of(&server, "vanishing", &QUIET);
    let mut client = vanishing.connect();
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    drop(client);
    drop(vanishing);
    assert_eq!(entries(&mut observing.connect()), 0);
    server.restart(Shutdown::Fast);
    assert_eq!(entries(&mut observing.connect()), 0);
}

/// A copy of a template has the tables of the template's OIDs, so that only the database's own tells one copy from the next.
#[test]
fn a_database_made_anew_under_the_same_oid_knows_nothing_of_the_old() {
    for naptime in ["1", "3600"] {
        let server = preloaded().setting("session_timeout.naptime", naptime).start();
        server.execute("CREATE DATABASE template_of_app");
        let mut client = connect(&server, "template_of_app");
        client.run("CREATE EXTENSION inactive_session_timeout");
        client.open("everywhere");
        client.has_been_idle("everywhere", "1 hour");
        drop(client);
        let make = || server.execute("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
        make();
        let mut client = connect(&server, "app");
        client.open("only here");
        assert!(client.check("only here") && client.check("everywhere"));
        // A change that is counted as often as the new database's first.
        client.set_param(param::DELAY, Some("1 day"));
        assert!(client.check("only here"));
        drop(client);
        server.execute("DROP DATABASE app");
        make();
        let mut client = connect(&server, "app");
        assert!(!client.check("only here"), "a session of the old database validates");
        let used = client.peek("everywhere").last_activity.expect("activity");
        assert!(
            Utc::now() - used > TimeDelta::minutes(59),
            "used in the old database: {used}"
        );
        client.set_param(param::DELAY, Some("30 min"));
        assert!(!client.check("everywhere"));
    }
}

#[test]
fn a_database_made_anew_under_the_oid_of_one_without_the_extension_is_served() {
    let server = preloaded().setting("session_timeout.naptime", "5").start();
    let mut observer = server.connect();
    server.execute("CREATE DATABASE template_of_app");
    let mut client = connect(&server, "template_of_app");
    client.run(&install(&QUICK));
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    eventually("the template is purged", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    open_many(&mut client, "active", 10);
    drop(client);
    server.execute("CREATE DATABASE app OID = 70000");
    eventually("a worker has come by", SOON, || {
        transactions(&mut observer, "^app")
            .iter()
            .any(|(_, number)| *number > 0)
    });
    // Between two looks of the launcher, mostly.
    observer.run("DROP DATABASE app");
    observer.run("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
    let served = "SELECT next_purge IS NOT NULL FROM session_timeout.stat_worker WHERE datname = 'app' AND last_pass IS NOT NULL";
    let mut client = connect(&server, "template_of_app");
    eventually("a worker looks at it", SOON, || {
        client.query_opt(served, &[]).expect("stat_worker").is_some()
    });
}

/// Whoever moves a database keeps everybody from connecting to it, the worker too.
#[test]
fn a_database_that_takes_no_connection_keeps_no_worker_from_the_others() {
    let server = preloaded().setting("session_timeout.max_workers", "1").start();
    let [moved, other] = ["moved", "other"].map(|hint| database_of(&server, hint, &QUICK));
    let mut admin = server.connect();
    let name = moved.name();
    eventually("nobody is in it", SOON, || {
        // It waits for the worker to leave, and then holds its lock.
        admin.run("BEGIN");
        let is_held = admin
            .batch_execute(&format!("ALTER DATABASE {name} RENAME TO {name}_now"))
            .is_ok();
        if !is_held {
            admin.run("ROLLBACK");
        }
        is_held
    });
    eventually("a worker waits for it", SOON, || {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'object' AND NOT granted)";
        server.connect().value::<bool>(sql, &[])
    });
    let mut client = other.connect();
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    admin.run("ROLLBACK");
    let mut client = moved.connect();
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    assert_eq!(worker_figure(&mut client, "failures"), 0);
}

/// Whoever may do DDL in a database can keep its catalogs locked, and its workers with them.
#[test]
fn a_database_that_keeps_its_catalogs_locked_keeps_no_worker_from_the_others() {
    let server = preloaded().setting("session_timeout.max_workers", "1").start();
    let other = database_of(&server, "other", &QUICK);
    let mut client = other.connect();
    let locks = [
        "LOCK TABLE pg_catalog.pg_depend IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE",
        "ALTER SEQUENCE session_timeout.session_event_id_seq CACHE 1",
    ];
    let locked = locks.map(|_| database_of(&server, "locked", &QUICK));
    let mut holders = Vec::new();
    for (database, lock) in locked.iter().zip(locks) {
        let mut holder = database.connect();
        open_expired(&mut holder, "forgotten");
        holder.run("BEGIN");
        holder.run(lock);
        holders.push(holder);
    }
    for database in &locked {
        eventually("a worker has given up waiting", SOON, || {
            let sql = "SELECT count(*) FROM session_timeout.stat_worker WHERE datname = $1 AND last_error = '55P03'";
            client.value::<i64>(sql, &[&database.name()]) == 1
        });
    }
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    for (database, mut holder) in locked.iter().zip(holders) {
        holder.run("ROLLBACK");
        wait_until_gone(&mut database.connect(), "forgotten");
        assert_eq!(
            worker_figure(&mut holder, "failures"),
            0,
            "a lock of others is no failure"
        );
    }
}

#[test]
fn databases_are_looked_for_again_after_their_catalog_was_locked() {
    let server = preloaded().start();
    let database = database_of(&server, "served", &QUICK);
    let mut client = database.connect();
    let mut holder = server.connect();
    holder.run("BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE");
    let said = || server.log().matches("could not scan pg_database").count();
    eventually("the launcher has given up waiting", SOON, || said() > 0);
    open_expired(&mut client, "forgotten");
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, "forgotten");
    assert_eq!(said(), 1, "it is said once");
    // Made since.
    database_of(&server, "new", &QUICK);
}

/// With one place, that of `postgres` and of every other database without the extension is needed.
#[test]
fn a_database_beyond_those_that_are_held_is_warned_of_and_served_from_its_rows() {
    let server = preloaded().setting("session_timeout.max_databases", "1").start();
    let _without = server.database_builder("without").without_extension().create();
    let first = database_of(&server, "first", &QUICK);
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
            .matches("LOG:  out of places for databases: all 1 are in use")
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
    let server = preloaded().start();
    let mut admin = server.connect();
    let busy = database_of(&server, "busy", &QUICK);
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
    let server = preloaded().setting("session_timeout.max_workers", "1").start();
    let mut admin = server.connect();
    let [busy, other] = ["busy", "other"].map(|hint| database_of(&server, hint, &QUICK));
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

/// WITH (FORCE) ends no process of a superuser's for anybody else, and a worker is one.
#[test]
fn an_owner_drops_a_database_with_force_under_the_worker_and_the_log_has_no_fatal_line_of_it() {
    let server = preloaded().setting("autovacuum", "off").start();
    let template = make_template(&server);
    let owner = server.role("owner", "LOGIN CREATEDB");
    let mut admin = server.connect();
    let mut own = server
        .config("postgres")
        .user(owner.name())
        .connect(NoTls)
        .expect("a connection");
    for round in 0..size(3, 10) {
        let name = format!("forced_{round}");
        make_busy(&server, &template, &name);
        admin.run(&format!("ALTER DATABASE {name} OWNER TO {}", owner.name()));
        catch_worker(&mut admin, &name);
        own.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
    let log = server.log();
    let is_fatal = |line: &&str| line.contains("session_timeout worker") && line.contains("FATAL");
    assert_eq!(log.lines().find(is_fatal), None);
    assert_no_process_broke(&server);
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

/// Transactions of each database so far: those of workers, as nothing else comes there.
fn transactions(observer: &mut Client, pattern: &str) -> Vec<(String, i64)> {
    let sql = "SELECT datname::text, xact_commit + xact_rollback FROM pg_stat_database WHERE datname ~ $1 ORDER BY 1";
    let rows = observer.query(sql, &[&pattern]).expect("pg_stat_database");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[test]
fn many_databases_are_served_in_their_time_by_a_few_workers() {
    let server = preloaded()
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
    let server = preloaded().setting("autovacuum", "off").start();
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
fn a_database_that_allows_no_connections_is_left_alone_and_served_when_it_does() {
    let server = preloaded().start();
    let closed = server.database("closed");
    closed.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = closed.connect();
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '7198 s'");
    server.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", closed.name()));
    let begun = server.log().len();
    let attempts = || server.log()[begun..].matches("not currently accepting").count();
    // Long enough for several passes. One may have been on its way.
    stays("no worker comes to it", Duration::from_secs(6), || attempts() <= 1);
    server.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", closed.name()));
    eventually("it is served again", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
}

#[test]
fn a_failing_database_is_tried_less_and_less_often_and_the_others_are_served() {
    let server = preloaded().start();
    let failing = server.database("failing");
    let healthy = server.database("healthy");
    for database in [&failing, &healthy] {
        database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    }
    let mut client = failing.connect();
    // No event can be written.
    let sequence: String = client.value(
        "SELECT pg_get_serial_sequence('session_timeout.session_event', 'id')",
        &[],
    );
    client.run(&format!(
        "SELECT setval('{sequence}', 10); ALTER SEQUENCE {sequence} MAXVALUE 10"
    ));
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    let begun = Instant::now();
    let mut others = healthy.connect();
    let failures = |client: &mut Client| -> (i64, Option<String>) {
        let sql = "SELECT failures, last_error FROM session_timeout.stat_worker WHERE datname = current_database()";
        let row = client.query_one(sql, &[]).expect("stat_worker");
        (row.get(0), row.get(1))
    };
    for n in 0..size(3, 6) {
        open_many(&mut others, &format!("idle-{n}"), 10);
        others.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
        eventually("the healthy one is served", SOON, || {
            others.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10 * (n as i64 + 1)
        });
        eventually("the failing one is tried again", SOON, || {
            failures(&mut client).0 > n as i64
        });
    }
    let (failed, code) = failures(&mut client);
    assert_eq!(code.as_deref(), Some("2200H"));
    // After 1, 2, 4, … seconds.
    let most = (begun.elapsed().as_secs() + 2).ilog2() + 2;
    assert!(failed <= i64::from(most), "{failed} attempts in {:?}", begun.elapsed());
    assert_eq!(
        server.log().matches("session maintenance failed").count(),
        1,
        "it is said once"
    );
    assert!(
        (1..=10).all(|n| !client.check(&format!("idle-{n}"))),
        "expired sessions validate"
    );

    client.run(&format!("ALTER SEQUENCE {sequence} NO MAXVALUE"));
    eventually("it is served again", Duration::from_secs(100), || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    eventually("its failures are over", SOON, || failures(&mut client).0 == 0);
    assert_no_process_broke(&server);
}

/// A schema that is swapped, a table renamed by mistake: nobody tells the launcher when it is whole again.
#[test]
fn a_database_whose_extension_was_not_whole_for_a_while_is_served_again() {
    let server = preloaded().start();
    let observing = database_of(&server, "observing", &QUIET);
    let mut observer = observing.connect();
    let breaks = [
        (
            "ALTER TABLE session_timeout.session RENAME TO session_x",
            "ALTER TABLE session_timeout.session_x RENAME TO session",
        ),
        (
            "ALTER SCHEMA session_timeout RENAME TO elsewhere",
            "ALTER SCHEMA elsewhere RENAME TO session_timeout",
        ),
        (
            "ALTER SEQUENCE session_timeout.session_event_id_seq RENAME TO seq_x",
            "ALTER SEQUENCE session_timeout.seq_x RENAME TO session_event_id_seq",
        ),
        (
            "ALTER EXTENSION inactive_session_timeout DROP TABLE session_timeout.session_event",
            "ALTER EXTENSION inactive_session_timeout ADD TABLE session_timeout.session_event",
        ),
    ];
    let databases = breaks.map(|_| database_of(&server, "broken", &QUICK));
    for (database, (break_it, _)) in databases.iter().zip(breaks) {
        let mut client = database.connect();
        client.open("used");
        client.run(break_it);
    }
    for database in &databases {
        eventually("a pass has failed", SOON, || {
            let sql = "SELECT count(*) FROM session_timeout.stat_worker \
                       WHERE datname = $1 AND failures > 1 AND last_error = '55000'";
            observer.value::<i64>(sql, &[&database.name()]) == 1
        });
    }
    for (database, (_, mend_it)) in databases.iter().zip(breaks) {
        let mut client = database.connect();
        client.run(mend_it);
        open_expired(&mut client, "forgotten");
        wait_until_gone(&mut client, "forgotten");
        eventually("its failures are over", SOON, || {
            worker_figure(&mut client, "failures") == 0
        });
        assert!(client.check("used"));
    }
}

#[test]
fn where_no_worker_process_is_free_maintenance_waits_and_says_so_once() {
    // One for the launcher, one for that of logical replication, and one that a query takes.
    let server = preloaded()
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
    let said = server.log()[begun..].matches("out of background worker slots").count();
    assert_eq!(said, 1, "it is said {said} times");

    enough.store(true, Ordering::Relaxed);
    cancel.cancel_query(NoTls).expect("cancel");
    taken.join().expect("the query");
    eventually("it goes on as soon as there is one", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    eventually("it no longer waits", SOON, || refused(&mut client) == 0);
}
