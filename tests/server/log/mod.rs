//! No error of the extension writes a session id to the server's log.
//!
//! The server of these tests logs all that it can of an error: its statement, its context, its parameters, and lock waits.
//! Each test has a session id of its own and looks for it in the whole log.

mod interrupted;
mod refused;

use std::sync::OnceLock;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually};

use crate::support::{SOON, SessionCalls, outcome, unique};

/// A server that logs as much as it can, and a database in it.
fn database() -> &'static Database<'static> {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static DATABASE: OnceLock<Database<'static>> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let server = SERVER.get_or_init(|| {
            Server::builder()
                .setting("log_min_error_statement", "debug5")
                .setting("log_error_verbosity", "verbose")
                .setting("log_parameter_max_length_on_error", "-1")
                .setting("log_lock_waits", "on")
                .setting("deadlock_timeout", "100ms")
                .start()
        });
        server.database("log")
    })
}

/// A session id to look for in the log: an open session, and a connection to provoke errors with.
struct Provocation {
    sid: String,
    client: Client,
}

impl Provocation {
    fn new() -> Self {
        let mut client = database().connect();
        let sid = unique("recognizable-session-id");
        client.open(&sid);
        Self { sid, client }
    }

    /// Runs statements in one simple query, which the server refuses with `sqlstate`. `{sid}` stands for the session id,
    /// and `{long}` for one that is too long, and begins with it.
    #[track_caller]
    fn refused(&mut self, sqlstate: &str, sql: &str) -> &mut Self {
        let sql = self.expand(sql);
        assert_eq!(
            outcome(self.client.batch_execute(&sql)),
            Err(sqlstate.to_owned()),
            "{sql}"
        );
        let _ = self.client.batch_execute("ROLLBACK");
        self
    }

    /// Runs a statement with the (too long) session id as its parameter, which the server refuses with `sqlstate`.
    #[track_caller]
    fn refused_with_parameter(&mut self, sqlstate: &str, sql: &str, parameter: &str) -> &mut Self {
        let parameter = self.expand(parameter);
        assert_eq!(
            outcome(self.client.execute(sql, &[&parameter])),
            Err(sqlstate.to_owned()),
            "{sql}"
        );
        self
    }

    fn expand(&self, text: &str) -> String {
        let long = format!("{}{}", self.sid, "x".repeat(1024));
        text.replace("{sid}", &self.sid).replace("{long}", &long)
    }

    /// The lines of the log that show the session id.
    fn shown(&self) -> Vec<String> {
        let log = database().server().log();
        log.lines()
            .filter(|line| line.contains(&self.sid))
            .map(str::to_owned)
            .collect()
    }

    /// Asserts that the log shows the session id nowhere, and an error of this connection with `sqlstate`.
    #[track_caller]
    fn is_not_shown_after(&mut self, sqlstate: &str) {
        let pid: i32 = self.client.value("SELECT pg_backend_pid()", &[]);
        assert_logged(pid, &format!("{sqlstate}:"));
        assert_eq!(self.shown(), [] as [String; 0]);
    }
}

/// Waits until the log has a line of the process `pid` that contains `text`.
#[track_caller]
fn assert_logged(pid: i32, text: &str) {
    let process = format!("[{pid}]");
    eventually(&format!("{process} logs {text}"), SOON, || {
        let log = database().server().log();
        log.lines().any(|line| line.contains(&process) && line.contains(text))
    });
}
