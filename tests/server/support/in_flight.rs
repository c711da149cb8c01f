//! Statements in flight, threads that start together, and what a statement was refused with.

use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use session_timeout_tests::postgres::{Client, Error};
use session_timeout_tests::{Database, ServerError, eventually};

use super::calls::SessionCalls;

/// How long anything that is to happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// The levels in which nothing may fail with 40001 that is not SERIALIZABLE's own doing.
pub const SNAPSHOT_LEVELS: [&str; 2] = ["READ COMMITTED", "REPEATABLE READ"];

/// The levels in which a transaction keeps its first snapshot.
pub const STRICT_LEVELS: [&str; 2] = ["REPEATABLE READ", "SERIALIZABLE"];

/// Begins a transaction and takes its snapshot, which under REPEATABLE READ is old from here on.
#[track_caller]
pub fn begin(client: &mut Client, level: &str) {
    client.run(&format!("BEGIN ISOLATION LEVEL {level}"));
    let _: i64 = client.value("SELECT count(*) FROM pg_database", &[]);
}

/// Has statements of this connection fail, with 55P03, where they wait for a lock.
#[track_caller]
pub fn refuse_to_wait(client: &mut Client) {
    client.run("SET lock_timeout = '100ms'");
}

/// The SQLSTATE of a refusal; `Ok` where there was none.
pub fn outcome<T>(result: Result<T, Error>) -> Result<T, String> {
    result.map_err(|error| ServerError::of(&error).sqlstate)
}

/// What one of the boolean functions answers, or the SQLSTATE that it ends with.
pub fn try_call(client: &mut Client, call: &str) -> Result<bool, String> {
    outcome(
        client
            .query_one(&format!("SELECT session_timeout.{call}"), &[])
            .map(|row| row.get(0)),
    )
}

/// The SQLSTATE that statements end with; panics where they succeed.
#[track_caller]
pub fn refusal(client: &mut Client, sql: &str) -> String {
    match outcome(client.batch_execute(sql)) {
        Ok(()) => panic!("was expected to be refused: {sql}"),
        Err(sqlstate) => sqlstate,
    }
}

/// Work on a connection of its own thread, so that it can be seen waiting.
pub struct InFlight<T> {
    pid: i32,
    thread: JoinHandle<(Client, T)>,
}

impl<T: Send + 'static> InFlight<T> {
    /// Starts it.
    #[track_caller]
    pub fn start(mut client: Client, work: impl FnOnce(&mut Client) -> T + Send + 'static) -> Self {
        let pid = client.value("SELECT pg_backend_pid()", &[]);
        let thread = thread::spawn(move || {
            let answer = work(&mut client);
            (client, answer)
        });
        Self { pid, thread }
    }

    /// The server's process that does it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Polls until it waits for a lock of another transaction.
    #[track_caller]
    pub fn is_waiting(&self, observer: &mut Client) {
        eventually("the statement waits for a lock", SOON, || {
            assert!(
                !self.thread.is_finished(),
                "the statement ended without waiting for a lock"
            );
            observer.value("SELECT cardinality(pg_blocking_pids($1)) > 0", &[&self.pid])
        });
    }

    /// Waits for its end: what the work answered, and the connection.
    #[track_caller]
    pub fn finish(self) -> (Client, T) {
        self.thread.join().expect("the work ends without a panic")
    }

    /// Waits for its end: what the work answered.
    #[track_caller]
    pub fn answer(self) -> T {
        self.finish().1
    }
}

/// Runs `work` on a connection each, all starting at once, and collects what they answer, in the order of the
/// connections. The work is handed its connection and the number of it.
#[track_caller]
pub fn all_at_once<T: Send + 'static>(
    clients: impl IntoIterator<Item = Client>,
    work: impl Fn(&mut Client, usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let clients: Vec<Client> = clients.into_iter().collect();
    let start = Arc::new(Barrier::new(clients.len()));
    let work = Arc::new(work);
    let run = |(n, mut client): (usize, Client)| {
        let (start, work) = (start.clone(), work.clone());
        thread::spawn(move || {
            start.wait();
            work(&mut client, n)
        })
    };
    let threads: Vec<_> = clients.into_iter().enumerate().map(run).collect();
    // All have ended before one's panic ends the test.
    let ended: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    let answer = |end: thread::Result<T>| end.expect("the work ends without a panic");
    ended.into_iter().map(answer).collect()
}

/// Runs a statement whose commit waits until it is told not to.
#[track_caller]
pub fn hang_in_commit(database: &Database, sql: &str, sid: &str) -> InFlight<()> {
    let (sql, sid) = (sql.to_owned(), sid.to_owned());
    let hanging = InFlight::start(database.connect(), move |client| {
        client.run("SET synchronous_commit = on");
        client.write(&sql, &[&sid]);
    });
    let mut observer = database.connect();
    eventually("its commit waits", SOON, || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'";
        observer.value::<i64>(sql, &[&hanging.pid()]) == 1
    });
    hanging
}

/// Has the commit return.
#[track_caller]
pub fn let_go(client: &mut Client, hanging: InFlight<()>) {
    assert!(client.value::<bool>("SELECT pg_cancel_backend($1)", &[&hanging.pid()]));
    hanging.answer();
}
