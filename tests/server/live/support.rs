//! Servers with the library preloaded, databases whose worker is quick or quiet, and threads that check all the time.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, ServerBuilder, eventually, param, wait_for};

use crate::in_flight::{InFlight, SOON};
use crate::support::{SessionCalls, new_sid};

/// Parameters of a worker that has next to nothing to wait for.
pub const QUICK: [(&str, &str); 2] = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")];

/// Parameters of a worker that comes only where a check has marked a session.
pub const QUIET: [(&str, &str); 2] = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1 day")];

/// A server with the library preloaded, whose launcher looks every second.
pub fn preloaded() -> ServerBuilder {
    Server::builder()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.naptime", "1")
}

/// The preloaded server that tests share, with workers for many databases at once.
pub fn live() -> &'static Server {
    static LIVE: OnceLock<Server> = OnceLock::new();
    let start = || {
        preloaded()
            .setting("session_timeout.max_workers", "4")
            .setting("max_worker_processes", "16")
            .start()
    };
    LIVE.get_or_init(start)
}

/// A preloaded server for tests that look at figures of the whole server: one test at a time. It writes no WAL of its
/// own accord.
pub fn alone() -> MutexGuard<'static, Server> {
    static ALONE: OnceLock<Mutex<Server>> = OnceLock::new();
    let start = || {
        preloaded()
            .setting("autovacuum", "off")
            .setting("wal_level", "minimal")
            .setting("max_wal_senders", "0")
            .setting("checkpoint_timeout", "1h")
            .start()
    };
    let server = ALONE.get_or_init(|| Mutex::new(start()));
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database of the [`live`] server with these parameters from its beginning, after its first pass.
#[track_caller]
pub fn database(hint: &str, params: &[(&str, &str)]) -> Database<'static> {
    database_of(live(), hint, params)
}

/// A database of `server` with these parameters from its beginning, after its first pass.
#[track_caller]
pub fn database_of<'s>(server: &'s Server, hint: &str, params: &[(&str, &str)]) -> Database<'s> {
    let database = server.database_builder(hint).without_extension().create();
    // One transaction, so that the first pass goes by these parameters.
    database.execute(&install(params));
    eventually("the worker's first pass", SOON, || is_resting(&database));
    database
}

/// The statements that install the extension with these parameters, to be run as one transaction.
pub fn install(params: &[(&str, &str)]) -> String {
    let set = |(key, value): &(&str, &str)| format!("SELECT session_timeout.set_param('{key}', '{value}');");
    let sets: String = params.iter().map(set).collect();
    format!("CREATE EXTENSION inactive_session_timeout; {sets}")
}

/// The parameters of one list and one more.
pub fn and<'a>(params: [(&'a str, &'a str); 2], more: (&'a str, &'a str)) -> [(&'a str, &'a str); 3] {
    let [first, second] = params;
    [first, second, more]
}

/// Whether the database's worker has made a pass, and none is at it.
#[track_caller]
pub fn is_resting(database: &Database) -> bool {
    let sql = "SELECT count(*) FROM session_timeout.stat_worker \
               WHERE datname = current_database() AND next_purge IS NOT NULL AND pid IS NULL";
    let resting: i64 = database.connect().value(sql, &[]);
    resting == 1
}

/// A figure of this database's line in `stat_worker`.
#[track_caller]
pub fn worker_figure(client: &mut Client, name: &str) -> i64 {
    let sql = format!("SELECT {name} FROM session_timeout.stat_worker WHERE datname = current_database()");
    client.value(&sql, &[])
}

/// When the last pass over this database ended.
#[track_caller]
pub fn last_pass(client: &mut Client) -> DateTime<Utc> {
    let sql = "SELECT last_pass FROM session_timeout.stat_worker WHERE datname = current_database()";
    client.value(sql, &[])
}

/// Waits until a pass has begun and ended that had not begun before this call.
#[track_caller]
pub fn wait_for_passes(client: &mut Client, passes: u32) {
    for _ in 0..passes {
        let before = last_pass(client);
        eventually("another pass", SOON, || last_pass(client) > before);
    }
}

/// Opens a session and sets its clock back by hand, so that it is past the default delay and nobody knows.
#[track_caller]
pub fn open_expired(client: &mut Client, sid: &str) {
    client.open(sid);
    client.has_been_idle(sid, "3 hours");
}

/// Waits until the session is past its idle limit, without a check of it.
#[track_caller]
pub fn wait_until_idle(client: &mut Client, sid: &str) {
    eventually("the session is past its limit", SOON, || {
        client.peek(sid).status == "idle_expired"
    });
}

/// Waits until the session's row is gone.
#[track_caller]
pub fn wait_until_gone(client: &mut Client, sid: &str) {
    eventually("the session's row is deleted", SOON, || client.stored(sid).is_none());
}

/// Waits until the session's row has at least this activity.
#[track_caller]
pub fn wait_until_flushed(client: &mut Client, sid: &str, activity: DateTime<Utc>) {
    wait_for("the session's activity is written to its row", SOON, || {
        let row = client.stored(sid).expect("the session has a row");
        (row.last_activity >= activity).then_some(())
    });
}

/// Work that threads do over and over until they are told to stop or find something wrong.
pub struct Swarm {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64, String>>>,
}

impl Swarm {
    /// Starts a thread for each connection.
    pub fn start<C: IntoIterator<Item = Client>>(
        clients: C,
        work: impl Fn(&mut Client, usize) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Arc::new(work);
        let run = |(n, mut client): (usize, Client)| {
            let (stop, work) = (stop.clone(), work.clone());
            thread::spawn(move || {
                let mut times = 0;
                while !stop.load(Ordering::Relaxed) {
                    work(&mut client, n)?;
                    times += 1;
                }
                Ok(times)
            })
        };
        let threads = clients.into_iter().enumerate().map(run).collect();
        Self { stop, threads }
    }

    /// Whether one of them has found something wrong, or ended otherwise.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Tells them to stop: how often they did their work, all together. Panics with what one of them found wrong.
    #[track_caller]
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        let mut times = 0;
        for end in ended {
            match end.expect("a thread of the swarm does not panic") {
                Ok(more) => times += more,
                Err(wrong) => panic!("{wrong}"),
            }
        }
        times
    }
}

/// Compares, and tells in words where it differs: for threads, whose panics would hide each other.
pub fn expect<T: PartialEq + Debug>(actual: T, expected: T, what: &str) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?} instead of {expected:?}"))
    }
}

/// A server whose registry holds a hundred sessions, and where a commit that asks for a standby waits for ever: one test
/// at a time.
pub fn small() -> MutexGuard<'static, Server> {
    static SMALL: OnceLock<Mutex<Server>> = OnceLock::new();
    let start = || {
        preloaded()
            .setting("session_timeout.max_sessions", "100")
            .setting("synchronous_standby_names", "nobody")
            .setting("synchronous_commit", "local")
            .start()
    };
    let server = SMALL.get_or_init(|| Mutex::new(start()));
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database of the [`small`] server, whose registry holds nothing of earlier tests: the launcher forgets what they dropped when it looks.
#[track_caller]
pub fn on_small<'s>(server: &'s Server, hint: &str, params: &[(&str, &str)]) -> Database<'s> {
    let database = database_of(server, hint, params);
    let mut client = database.connect();
    eventually("the registry is empty", SOON, || figure(&mut client, "entries") == 0);
    database
}

/// A figure of `stat_session_timeout`.
#[track_caller]
pub fn figure(client: &mut Client, name: &str) -> i64 {
    client.value(&format!("SELECT {name} FROM session_timeout.stat_session_timeout"), &[])
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

pub fn open_sessions(client: &mut Client, count: usize) -> Vec<String> {
    let sids: Vec<String> = (0..count).map(|_| new_sid()).collect();
    client.run("BEGIN");
    for sid in &sids {
        client.open_as(sid, "many");
    }
    client.run("COMMIT");
    sids
}

/// A registry in which nothing can be evicted, as the table is locked against the worker. Answers the lock's holder.
pub fn clogged(client: &mut Client, mut holder: Client) -> Client {
    let sids = open_sessions(client, 400);
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN SHARE MODE");
    let before = figure(client, "registry_full");
    for sid in &sids {
        assert!(client.check(sid));
    }
    assert!(figure(client, "registry_full") > before);
    holder
}
