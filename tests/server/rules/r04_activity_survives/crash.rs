//! Processes that are killed and terminated under load: what was acknowledged stays true, and at most a flush interval of
//! activity is lost.

use std::thread;
use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param, wait_for};

use crate::support::{
    Book, Life, Load, SOON, SessionCalls, ago, assert_kept, assert_no_process_broke, assert_settles,
    catch_worker_unless, check_many, connect_again, open_many, preloaded, processes, signal, size, try_catch_worker,
    written_until,
};

/// Sessions that a worker is caught at: more than it deals with before it can be caught.
const MANY: usize = 10_000;

fn with_short_intervals(server: &Server) -> Database<'_> {
    let database = server.database("crash");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    database
}

/// Lets the load go on until it has something to lose, strikes, and compares the book with what the server then says.
fn strike_under_load(server: &Server, database: &Database, rounds: usize, mut strike: impl FnMut(&Server, usize)) {
    let mut book = Book::default();
    for round in 0..rounds {
        let closed = book.count(Life::Closed);
        let load = Load::start(&database.config(), &format!("load-{round}"), 4, book);
        load.until("the load has closed sessions", |book| {
            book.count(Life::Closed) > closed + 50
        });
        let written = written_until(&mut database.connect());
        strike(server, round);
        book = load.end(false);
        let mut client = connect_again(&database.config());
        assert_kept(&mut client, &mut book, written);
    }
    let mut client = connect_again(&database.config());
    assert_settles(&mut client, &book);
    assert_kept(&mut client, &mut book, ago(3600));
    assert_no_process_broke(server);
}

#[test]
fn a_killed_backend_loses_nothing_that_was_acknowledged() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    strike_under_load(&server, &database, size(2, 50), |server, round| {
        let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' \
                   AND pid <> pg_backend_pid() AND datname <> 'postgres' ORDER BY pid OFFSET $1 LIMIT 1";
        let pid: i32 = server.connect().value(sql, &[&((round % 4) as i64)]);
        assert!(signal(pid, "KILL"));
    });
}

#[test]
fn a_killed_postmaster_loses_nothing_that_was_acknowledged() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    strike_under_load(&server, &database, size(2, 50), |server, _| {
        server.kill();
        server.start();
    });
}

#[test]
fn a_killed_launcher_comes_back() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    strike_under_load(&server, &database, size(1, 20), |server, _| {
        let pids = processes(&mut server.connect(), "session_timeout launcher");
        assert!(matches!(pids[..], [pid] if signal(pid, "KILL")), "{pids:?}");
    });
}

#[test]
fn a_worker_killed_in_the_midst_of_a_flush_loses_nothing_that_was_written() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    let mut client = database.connect();
    open_many(&mut client, "many", MANY);
    let mut before = ago(3600);
    strike_under_load(&server, &database, size(2, 50), |server, round| {
        let mut observer = server.connect();
        let mut client = connect_again(&database.config());
        assert_eq!(check_many(&mut client, "many", MANY), MANY as i64);
        kill_worker(&mut observer, database.name(), round);
        let mut client = connect_again(&database.config());
        assert!(oldest_row_activity(&mut client) >= before, "activity went backwards");
        before = Utc::now();
        assert_eq!(check_many(&mut client, "many", MANY), MANY as i64);
        eventually("all of them are written down", SOON, || {
            oldest_row_activity(&mut client) >= before
        });
    });
}

#[test]
fn a_worker_killed_in_the_midst_of_a_purge_neither_loses_nor_doubles_an_event() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    strike_under_load(&server, &database, size(2, 50), |server, round| {
        let mut observer = server.connect();
        let prefix = format!("idle-{round}");
        let mut client = database.connect();
        client.run("BEGIN");
        open_many(&mut client, &prefix, MANY);
        client.run(&format!(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours' \
             WHERE digest IN (SELECT session_timeout.session_digest('{prefix}-' || n) \
                              FROM generate_series(1, {MANY}) AS n)"
        ));
        client.run("COMMIT");
        kill_worker(&mut observer, database.name(), round);
        let mut client = connect_again(&database.config());
        assert_eq!(check_many(&mut client, &prefix, MANY), 0, "expired sessions validate");
        assert_one_event_each(&mut client, &prefix);
    });
}

#[test]
fn a_terminated_worker_is_followed_by_one_that_does_the_rest() {
    let server = preloaded::builder().start();
    let database = server.database("terminated");
    // A flush, and then none for an hour: what is flushed after that is what the terminated worker had left.
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    let mut observer = server.connect();
    open_many(&mut client, "many", MANY);
    let mut terminated = 0;
    while terminated < size(3, 50) {
        let begun = Utc::now();
        assert_eq!(check_many(&mut client, "many", MANY), MANY as i64);
        let is_done = || oldest_row_activity(&mut client) >= begun;
        if let Some(pid) = catch_worker_unless(&mut observer, database.name(), is_done) {
            thread::sleep(Duration::from_millis(terminated as u64 % 5 * 20));
            let _: bool = observer.value("SELECT pg_terminate_backend($1)", &[&pid]);
            terminated += 1;
        }
        eventually("all activity is written down", SOON, || {
            oldest_row_activity(&mut client) >= begun
        });
    }
    assert_eq!(check_many(&mut client, "many", MANY), MANY as i64);
    client.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
    client.set_param(param::PURGE_INTERVAL, Some("1"));
    for round in 0..size(3, 50) {
        // It may have been the last of the work.
        let is_done = || client.value::<i64>("SELECT count(*) FROM session_timeout.session", &[]) == 0;
        if let Some(pid) = catch_worker_unless(&mut observer, database.name(), is_done) {
            thread::sleep(Duration::from_millis(round as u64 % 5 * 20));
            let _: bool = observer.value("SELECT pg_terminate_backend($1)", &[&pid]);
        }
    }
    eventually("all of them are purged", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session", &[]) == 0
    });
    assert_one_event_each(&mut client, "many");
    assert_no_process_broke(&server);
}

#[test]
fn a_terminated_launcher_comes_back_and_nothing_is_lost() {
    let server = preloaded::builder().start();
    let database = with_short_intervals(&server);
    let mut client = database.connect();
    let mut observer = server.connect();
    for round in 0..size(1, 10) {
        let sids = [format!("active-{round}"), format!("idle-{round}")];
        for sid in &sids {
            client.open(sid);
        }
        let launcher = processes(&mut observer, "session_timeout launcher");
        let begun = Utc::now();
        assert!(client.check(&sids[0]));
        let _: bool = observer.value("SELECT pg_terminate_backend($1)", &[&launcher[0]]);
        client.has_been_idle(&sids[1], "3 hours");
        assert!(!client.check(&sids[1]));
        eventually("another launcher is there", SOON, || {
            let now = processes(&mut observer, "session_timeout launcher");
            now.len() == 1 && now != launcher
        });
        eventually("activity is written down", SOON, || {
            client.stored(&sids[0]).is_some_and(|row| row.last_activity >= begun)
        });
        eventually("the expired one is gone", SOON, || client.stored(&sids[1]).is_none());
        assert_eq!(client.event_kinds(&sids[1]), ["idle_expired"]);
        assert!(client.check(&sids[0]));
    }
    assert_no_process_broke(&server);
}

/// A request in the transaction that opened its session is activity like any other: it is written down too.
#[test]
fn a_touch_deferred_to_the_commit_is_flushed() {
    let server = preloaded::builder().start();
    let database = server.database("commit");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    client.open("sid");
    assert!(client.check("sid"));
    let begun = Utc::now();
    eventually("a first flush", SOON, || {
        client.value::<i64>(
            "SELECT flushed FROM session_timeout.stat_worker WHERE datname = current_database()",
            &[],
        ) > 0
    });
    // Nothing is unwritten now. A change of the session, and a request that counts, in one transaction.
    eventually("the registry has the session as it is", SOON, || client.check("sid"));
    eventually("it is written down", SOON, || {
        client.stored("sid").is_some_and(|row| row.last_activity > begun)
    });
    client.run("BEGIN");
    client.run("UPDATE session_timeout.session SET user_name = 'someone'");
    let begun = Utc::now();
    assert!(client.check("sid"));
    client.run("COMMIT");
    eventually("the request of the transaction is written down", SOON, || {
        client.stored("sid").is_some_and(|row| row.last_activity >= begun)
    });
}

/// Kills a worker while it works, somewhere in the first of its time, and waits until the server has noticed.
fn kill_worker(observer: &mut Client, database: &str, round: usize) {
    let mut delay = Duration::from_millis(round as u64 % 8 * 15);
    loop {
        // Where the connection is gone, the one before was killed on its very way out.
        let Ok(pid) = try_catch_worker(observer, database) else {
            return;
        };
        thread::sleep(delay);
        if signal(pid, "KILL") && was_killed(observer, pid) {
            return;
        }
        // It had less to do than that.
        delay /= 2;
    }
}

/// Waits until the server has ended all connections because this process was killed: whether it was. A process that has
/// ended takes a signal as well until the postmaster has waited for it, and nothing comes of that. It has taken itself
/// off the list of processes, though; one that was killed stays on it.
fn was_killed(observer: &mut Client, pid: i32) -> bool {
    wait_for("the server ends all connections", SOON, || {
        match observer.query_opt("SELECT FROM pg_stat_activity WHERE pid = $1", &[&pid]) {
            Err(_) => Some(true),
            Ok(None) => Some(false),
            Ok(Some(_)) => None,
        }
    })
}

/// Of the sessions that are not the load's.
fn oldest_row_activity(client: &mut Client) -> DateTime<Utc> {
    client.value(
        "SELECT min(last_activity) FROM session_timeout.session WHERE user_name IS NULL",
        &[],
    )
}

/// Waits until all of many expired sessions are gone: each with one event.
#[track_caller]
fn assert_one_event_each(client: &mut Client, prefix: &str) {
    const OF_PREFIX: &str = "digest IN (SELECT session_timeout.session_digest($1 || '-' || n) \
         FROM generate_series(1, $2::bigint) AS n)";
    eventually("all of them are purged", SOON, || {
        let sql = format!("SELECT count(*) FROM session_timeout.session WHERE {OF_PREFIX}");
        client.value::<i64>(&sql, &[&prefix, &(MANY as i64)]) == 0
    });
    let sql = format!(
        "SELECT count(*), count(DISTINCT digest) FROM session_timeout.session_event \
         WHERE kind = 'idle_expired' AND {OF_PREFIX}"
    );
    let row = client.query_one(&sql, &[&prefix, &(MANY as i64)]).expect("events");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (MANY as i64, MANY as i64));
}
