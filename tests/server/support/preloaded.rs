//! Servers with the library preloaded, and databases of them. A test that calls one of these needs the preloaded library.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use session_timeout_tests::{Database, Server, ServerBuilder, eventually, param};

use super::in_flight::SOON;
use super::registry::figure;
use super::worker::is_resting;

/// Parameters of a worker that has next to nothing to wait for.
pub const QUICK: [(&str, &str); 2] = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")];

/// Parameters of a worker that comes only if a check has found a session expired.
pub const QUIET: [(&str, &str); 2] = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1 day")];

/// A server with the library preloaded, whose launcher looks every second.
pub fn builder() -> ServerBuilder {
    Server::builder()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.naptime", "1")
}

/// The preloaded server that tests share, with workers for many databases at once.
pub fn server() -> &'static Server {
    static LIVE: OnceLock<Server> = OnceLock::new();
    let start = || {
        builder()
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
        builder()
            .setting("autovacuum", "off")
            .setting("wal_level", "minimal")
            .setting("max_wal_senders", "0")
            .setting("checkpoint_timeout", "1h")
            .start()
    };
    let server = ALONE.get_or_init(|| Mutex::new(start()));
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server whose registry holds a hundred sessions, and where a commit that asks for a standby waits for ever: one test
/// at a time.
pub fn small() -> MutexGuard<'static, Server> {
    static SMALL: OnceLock<Mutex<Server>> = OnceLock::new();
    let start = || {
        builder()
            .setting("session_timeout.max_sessions", "100")
            .setting("synchronous_standby_names", "nobody")
            .setting("synchronous_commit", "local")
            .start()
    };
    let server = SMALL.get_or_init(|| Mutex::new(start()));
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database of the [`server`] server with these parameters from its beginning, after its first pass.
#[track_caller]
pub fn database(hint: &str, params: &[(&str, &str)]) -> Database<'static> {
    database_on(server(), hint, params)
}

/// A database of `server` with these parameters from its beginning, after its first pass.
#[track_caller]
pub fn database_on<'s>(server: &'s Server, hint: &str, params: &[(&str, &str)]) -> Database<'s> {
    let database = server.database_builder(hint).without_extension().create();
    // One transaction, so that the first pass goes by these parameters.
    database.execute(&install(params));
    eventually("the worker's first pass", SOON, || is_resting(&database));
    database
}

/// A database of the [`small`] server, whose registry holds nothing of earlier tests: the launcher forgets what they dropped when it looks.
#[track_caller]
pub fn database_on_small<'s>(server: &'s Server, hint: &str, params: &[(&str, &str)]) -> Database<'s> {
    let database = database_on(server, hint, params);
    let mut client = database.connect();
    eventually("the registry is empty", SOON, || figure(&mut client, "entries") == 0);
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
