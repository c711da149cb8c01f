//! The launcher: when it starts workers, and what it does if one is not to be had, or does not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::{Client, NoTls};
use session_timeout_tests::{Database, eventually, param, stays, wait_for};

use crate::support::preloaded::{QUICK, install};
use crate::support::{
    SOON, SessionCalls, check_many, connect_again, connect_hearing, open_expired, open_many, preloaded, processes,
    signal, wait_until_gone, worker_figure,
};

/// With one place, that of `postgres` and of every other database without the extension is needed.
#[test]
fn a_database_too_many_is_warned_of_and_served_from_its_rows() {
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
fn a_worker_that_takes_too_long_is_terminated() {
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

#[test]
fn without_a_free_worker_process_maintenance_waits_and_logs_it_once() {
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

/// What a worker does may be what the server crashed of.
#[test]
fn after_a_crash_no_worker_starts_before_the_launcher_has_napped() {
    let server = preloaded::builder().setting("session_timeout.naptime", "3600").start();
    let database = server.database("crash");
    let mut client = database.connect();
    let victim: i32 = client.value("SELECT pg_backend_pid()", &[]);
    eventually("a first pass has ended", SOON, || has_made_a_pass(&mut client));
    let mut another = database.connect();
    assert!(signal(victim, "KILL"));
    // Until the postmaster has noticed, it goes on taking connections.
    eventually("all connections end", SOON, || another.batch_execute("SELECT").is_err());
    let mut client = connect_again(&database.config());
    eventually("the launcher is back", SOON, || {
        processes(&mut client, "session_timeout launcher").len() == 1
    });
    // Something that cannot wait.
    client.open("expired");
    client.has_been_idle("expired", "3 hours");
    assert!(!client.check("expired"));
    stays("no worker comes", Duration::from_secs(2), || {
        !has_made_a_pass(&mut client)
    });
    // Whoever has mended it need not wait for so long.
    server.set("session_timeout.naptime", "1");
    server.reload();
    eventually("the session is ended", SOON, || client.stored("expired").is_none());
}

/// Whether a worker's pass over this database has ended since the server started, or started again after a crash.
fn has_made_a_pass(client: &mut Client) -> bool {
    client.value(
        "SELECT EXISTS (SELECT FROM session_timeout.stat_worker \
         WHERE datname = current_database() AND last_pass IS NOT NULL)",
        &[],
    )
}
