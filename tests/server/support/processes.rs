//! The server's processes in the background: found, signalled, and unharmed at the end.

use std::process::{Command, Stdio};
use std::time::Instant;

use session_timeout_tests::postgres::{Client, Config, Error, NoTls};
use session_timeout_tests::{Server, wait_for};

use super::in_flight::SOON;

/// Connects to a database, of whatever server.
#[track_caller]
pub fn connect(server: &Server, database: &str) -> Client {
    server.config(database).connect(NoTls).expect("a connection")
}

/// Connects to a server that is coming back.
pub fn connect_again(config: &Config) -> Client {
    wait_for("the server takes connections again", SOON, || {
        config.connect(NoTls).ok()
    })
}

/// Sends a signal to a process; whether it was still there.
pub fn signal(pid: i32, name: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &pid.to_string()]).stderr(Stdio::null());
    kill.status().expect("kill").success()
}

/// The processes of one type, `session_timeout worker` or `session_timeout launcher`.
pub fn processes(observer: &mut Client, backend_type: &str) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = $1";
    let rows = observer.query(sql, &[&backend_type]).expect("pg_stat_activity");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits for a worker that is connected to a database: its process.
pub fn catch_worker(observer: &mut Client, database: &str) -> i32 {
    try_catch_worker(observer, database).expect("pg_stat_activity")
}

/// As [`catch_worker`]; `None` where its work `is_done` before it was seen.
pub fn catch_worker_unless(observer: &mut Client, database: &str, mut is_done: impl FnMut() -> bool) -> Option<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'session_timeout worker' AND datname = $1";
    let statement = observer.prepare(sql).expect("pg_stat_activity");
    let deadline = Instant::now() + SOON;
    // Without a pause: a worker that has little to do is soon gone.
    loop {
        if let Some(row) = observer.query_opt(&statement, &[&database]).expect("pg_stat_activity") {
            return Some(row.get(0));
        }
        if is_done() {
            return None;
        }
        assert!(Instant::now() < deadline, "no worker came to {database}");
    }
}

/// As [`catch_worker`], on a connection that may end.
pub fn try_catch_worker(observer: &mut Client, database: &str) -> Result<i32, Error> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'session_timeout worker' AND datname = $1";
    let statement = observer.prepare(sql)?;
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(row) = observer.query_opt(&statement, &[&database])? {
            return Ok(row.get(0));
        }
        assert!(Instant::now() < deadline, "no worker came to {database}");
    }
}

/// Nothing ended by itself in a way that no process should.
#[track_caller]
pub fn assert_no_process_broke(server: &Server) {
    let log = server.log();
    let is_bad = |line: &&str| {
        ["PANIC:", "TRAP:", "signal 6", "signal 11", "panicked at"]
            .iter()
            .any(|bad| line.contains(bad))
    };
    assert_eq!(log.lines().find(is_bad), None);
}
