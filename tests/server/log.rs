//! No session id in the server's log after any error of ours.
//!
//! The server of these tests logs all that it can of an error: its statement, its context, its parameters, and lock
//! waits. Each test has a session id of its own and looks for it in the whole log.

use std::sync::OnceLock;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually};

use crate::support::{InFlight, SOON, SessionCalls, outcome, unique};

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

#[test]
fn an_error_of_another_kind_shows_a_literal() {
    let mut provocation = Provocation::new();
    provocation.refused("22012", "SELECT 1 / 0, '{sid}'");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn an_error_of_another_kind_shows_a_parameter() {
    let mut provocation = Provocation::new();
    provocation.refused_with_parameter("22012", "SELECT 1 / (length($1::text) - length($1::text))", "{sid}");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn an_error_of_another_kind_shows_its_context() {
    let mut provocation = Provocation::new();
    provocation.refused("22012", "DO $$ BEGIN PERFORM 1 / (length('{sid}') * 0); END $$");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn a_too_long_session_id_is_not_shown_by_any_function() {
    let mut provocation = Provocation::new();
    for call in [
        "open_session('{long}')",
        "check_session('{long}')",
        "session_verdict('{long}')",
        "peek_session('{long}')",
        "close_session('{long}')",
        "close_user_sessions('user', '{long}')",
        "rotate_session('{long}', 'new')",
        "rotate_session('{sid}', '{long}')",
        "session_digest('{long}')",
    ] {
        provocation.refused("22023", &format!("SELECT session_timeout.{call}"));
    }
    provocation.is_not_shown_after("22023");
}

#[test]
fn a_too_long_session_id_is_not_shown_as_a_parameter() {
    let mut provocation = Provocation::new();
    for call in [
        "open_session($1)",
        "check_session($1)",
        "close_session($1)",
        "rotate_session('old', $1)",
    ] {
        provocation.refused_with_parameter("22023", &format!("SELECT session_timeout.{call}"), "{long}");
    }
    provocation.is_not_shown_after("22023");
}

#[test]
fn a_too_long_session_id_is_not_shown_to_the_client() {
    let mut provocation = Provocation::new();
    let sql = provocation.expand("SELECT session_timeout.open_session('{long}')");
    let error = session_timeout_tests::error_of(provocation.client.batch_execute(&sql));
    assert!(!error.to_string().contains(&provocation.sid), "{error}");
}

#[test]
fn a_refused_limit_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', 'user', '-1 hour')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', 'user', NULL, '0')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', repeat('u', 1025))",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_rotation_to_an_open_session_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused("23505", "SELECT session_timeout.rotate_session('{sid}', '{sid}')")
        .refused_with_parameter("23505", "SELECT session_timeout.rotate_session($1, $1)", "{sid}")
        .is_not_shown_after("23505");
}

#[test]
fn a_rotation_that_another_rotation_overtakes_shows_no_session_id() {
    let mut first = Provocation::new();
    let second = Provocation::new();
    first.client.run("BEGIN");
    assert!(first.client.rotate(&first.sid.clone(), &format!("{}-new", first.sid)));
    let call = format!(
        "SELECT session_timeout.rotate_session('{}', '{}-new')",
        second.sid, first.sid
    );
    let rotating = InFlight::start(second.client, move |client| outcome(client.batch_execute(&call)));
    let pid = rotating.pid();
    rotating.is_waiting(&mut database().connect());
    assert_logged(pid, "still waiting");
    first.client.run("COMMIT");
    assert_eq!(rotating.answer(), Err("23505".to_owned()));
    assert_logged(pid, "23505:");
    assert_eq!(first.shown(), [] as [String; 0]);
}

#[test]
fn an_error_inside_a_block_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "DO $$ BEGIN PERFORM session_timeout.check_session('{long}'); END $$",
        )
        .refused(
            "23505",
            "DO $$ BEGIN PERFORM session_timeout.rotate_session('{sid}', '{sid}'); END $$",
        )
        .is_not_shown_after("23505");
}

#[test]
fn an_error_inside_a_function_shows_no_session_id() {
    let mut provocation = Provocation::new();
    let name = unique("login").replace('-', "_");
    provocation.client.run(&format!(
        "CREATE FUNCTION public.{name}(sid text) RETURNS void LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE format('SELECT session_timeout.open_session(%L)', sid); END $$"
    ));
    provocation
        .refused("22023", &format!("SELECT public.{name}('{{long}}')"))
        .refused_with_parameter("22023", &format!("SELECT public.{name}($1)"), "{long}")
        .is_not_shown_after("22023");
}

#[test]
fn an_error_caught_and_raised_again_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "DO $$ BEGIN PERFORM session_timeout.check_session('{long}'); EXCEPTION WHEN OTHERS THEN RAISE; END $$",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_function_refused_in_a_read_only_transaction_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused("25006", "BEGIN READ ONLY; SELECT session_timeout.open_session('{sid}')")
        .is_not_shown_after("25006");
}

#[test]
fn a_prepare_refused_in_a_query_of_many_statements_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "0A000",
            "BEGIN; SELECT session_timeout.close_session('{sid}'); PREPARE TRANSACTION '{sid}'",
        )
        .is_not_shown_after("0A000");
}

#[test]
fn a_trigger_that_refuses_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "INSERT INTO session_timeout.config_parameter (key, value)
                 VALUES ('{sid}', '1'), ('inactive_session_time_out_delay', 'no time')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.check_session('{sid}'), session_timeout.set_param(NULL, '')",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_unique_violation_by_hand_shows_the_digest_at_most() {
    let mut provocation = Provocation::new();
    let digest: String = provocation.client.value(
        "SELECT session_timeout.session_digest($1)::text",
        &[&provocation.sid.clone()],
    );
    provocation
        .refused(
            "23505",
            &format!("INSERT INTO session_timeout.session (digest) VALUES ('{digest}')"),
        )
        .is_not_shown_after("23505");
}

/// A call that waits for a row that another transaction has locked: what it ends with, once `end` was done.
fn call_on_locked_row(
    setting: &str,
    call: &str,
    end: fn(&InFlight<Result<(), String>>, &mut Client),
) -> (Provocation, i32, Result<(), String>) {
    let mut holder = Provocation::new();
    let mut observer = database().connect();
    holder.client.run("BEGIN");
    assert!(holder.client.close_sid(&holder.sid.clone()));
    let mut caller = database().connect();
    caller.run(setting);
    let sql = holder.expand(&format!("SELECT session_timeout.{call}"));
    let calling = InFlight::start(caller, move |client| {
        client.batch_execute(&sql).map_err(|error| {
            error
                .code()
                .map_or_else(|| "closed".to_owned(), |code| code.code().to_owned())
        })
    });
    end(&calling, &mut observer);
    let pid = calling.pid();
    let ended = calling.answer();
    holder.client.run("ROLLBACK");
    (holder, pid, ended)
}

#[test]
fn a_timeout_inside_a_function_shows_no_session_id() {
    for (setting, sqlstate) in [
        ("SET lock_timeout = '300ms'", "55P03"),
        ("SET statement_timeout = '300ms'", "57014"),
    ] {
        for call in [
            "close_session('{sid}')",
            "open_session('{sid}')",
            "rotate_session('{sid}', '{sid}-new')",
        ] {
            let (provocation, pid, ended) = call_on_locked_row(setting, call, |_, _| ());
            assert_eq!(ended, Err(sqlstate.to_owned()), "{call}");
            assert_logged(pid, &format!("{sqlstate}:"));
            assert_logged(pid, "still waiting");
            assert_eq!(provocation.shown(), [] as [String; 0], "{setting}, {call}");
        }
    }
}

#[test]
fn a_cancellation_inside_a_function_shows_no_session_id() {
    let (provocation, pid, ended) = call_on_locked_row("SELECT 1", "close_session('{sid}')", |calling, observer| {
        calling.is_waiting(observer);
        let _: bool = observer.value("SELECT pg_cancel_backend($1)", &[&calling.pid()]);
    });
    assert_eq!(ended, Err("57014".to_owned()));
    assert_logged(pid, "57014:");
    assert_eq!(provocation.shown(), [] as [String; 0]);
}

#[test]
fn a_termination_inside_a_function_shows_no_session_id() {
    let (provocation, pid, ended) = call_on_locked_row("SELECT 1", "close_session('{sid}')", |calling, observer| {
        calling.is_waiting(observer);
        let _: bool = observer.value("SELECT pg_terminate_backend($1)", &[&calling.pid()]);
    });
    assert!(ended.is_err());
    assert_logged(pid, "57P01:");
    assert_eq!(provocation.shown(), [] as [String; 0]);
}

#[test]
fn a_deadlock_between_functions_shows_no_session_id() {
    let (mut one, mut other) = (Provocation::new(), Provocation::new());
    for provocation in [&mut one, &mut other] {
        provocation.client.run("BEGIN");
        assert!(provocation.client.close_sid(&provocation.sid.clone()));
    }
    let calls = [&other, &one].map(|of| format!("SELECT session_timeout.close_session('{}')", of.sid));
    let shown = {
        let (sids, pids, ended) = deadlock([one, other], calls);
        assert_eq!(
            ended.iter().filter(|end| **end == Err("40P01".to_owned())).count(),
            1,
            "{ended:?}"
        );
        let log = database().server().log();
        assert!(
            pids.iter().any(|pid| log.contains(&format!("Process {pid} waits for"))),
            "the deadlock is logged"
        );
        log.lines()
            .filter(|line| sids.iter().any(|sid| line.contains(sid)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown, [] as [String; 0]);
}

type Ends = Vec<Result<(), String>>;

/// Runs both calls, each on its own connection and in its open transaction: the session ids, the processes, and how the
/// calls ended.
fn deadlock(parties: [Provocation; 2], calls: [String; 2]) -> ([String; 2], Vec<i32>, Ends) {
    let sids = [parties[0].sid.clone(), parties[1].sid.clone()];
    let calling: Vec<_> = parties
        .into_iter()
        .zip(calls)
        .map(|(party, call)| {
            InFlight::start(party.client, move |client| {
                let end = outcome(client.batch_execute(&call));
                let _ = client.batch_execute("ROLLBACK");
                end
            })
        })
        .collect();
    let pids = calling.iter().map(InFlight::pid).collect();
    (sids, pids, calling.into_iter().map(InFlight::answer).collect())
}

#[test]
fn the_warning_of_create_extension_shows_nothing_of_its_query() {
    let database = database()
        .server()
        .database_builder("warned")
        .without_extension()
        .create();
    let marker = unique("recognizable-session-id");
    let mut client = database.connect();
    client.run(&format!("CREATE EXTENSION inactive_session_timeout; SELECT '{marker}'"));
    let pid: i32 = client.value("SELECT pg_backend_pid()", &[]);
    assert_logged(pid, "WARNING");
    assert!(!database.server().log().contains(&marker));
}
