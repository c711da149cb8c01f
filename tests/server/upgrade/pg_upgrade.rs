//! pg_upgrade from an earlier major version of PostgreSQL: parameters, sessions and events are taken along.
//!
//! It needs the servers of two versions, each with the extension: `scripts/test-pg-upgrade.sh` has them ready, and
//! names the earlier one's bin directory in `SESSION_TIMEOUT_OLD_PG_BINDIR`.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, ServerBuilder, Shutdown, eventually, param};

use super::objects::{difference, inventory};
use crate::support::{SOON, SessionCalls, Stored};

/// A server that pg_upgrade made, and what its predecessor held.
struct Upgraded {
    server: Server,
    parameters: Vec<String>,
    sessions: Vec<Option<Stored>>,
    events: Vec<String>,
    /// What the servers that pg_upgrade started for itself have logged.
    log: String,
}

const DATABASE: &str = "shop";

/// Sessions of the earlier server that are open: one as any other, one that was active a moment before the server's
/// stop, one with limits of its own.
const OPEN: [&str; 3] = ["sid-quiet", "sid-active", "sid-limited"];

fn builder() -> ServerBuilder {
    Server::builder()
        .checksums()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.naptime", "1")
}

fn connect(server: &Server) -> Client {
    let client = server.config(DATABASE).connect(session_timeout_tests::postgres::NoTls);
    client.expect("a connection")
}

#[track_caller]
fn lines(client: &mut Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).expect("the rows");
    rows.iter().map(|row| row.get(0)).collect()
}

fn parameters(client: &mut Client) -> Vec<String> {
    lines(
        client,
        "SELECT p::text FROM session_timeout.config_parameter AS p ORDER BY id",
    )
}

fn events(client: &mut Client) -> Vec<String> {
    lines(
        client,
        "SELECT e::text FROM session_timeout.session_event AS e ORDER BY id",
    )
}

fn sessions(client: &mut Client) -> Vec<Option<Stored>> {
    OPEN.iter().map(|sid| client.stored(sid)).collect()
}

/// What administrators and applications leave behind in the earlier server.
fn fill(client: &mut Client) {
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.set_param(param::DELAY, Some("1 hour"));
    client.set_param(param::IGNORED_URL, Some("/poll/*"));
    client.set_param(param::WARNING, None);
    client.set_param(param::PURGE_INTERVAL, Some("1"));
    client.set_param("another.key", Some("kept as it is"));
    client.open_as("sid-quiet", "quiet");
    client.open_as("sid-active", "active");
    client.open_limited("sid-limited", Some("30 minutes"), Some("12 hours"));
    client.has_been_idle("sid-quiet", "50 minutes");
    client.has_been_idle("sid-active", "50 minutes");
    client.open_as("sid-closed", "closed");
    assert!(client.close_sid("sid-closed"));
    let touched = client.verdict("sid-active").last_activity.expect("an activity");
    // Where the worker is at it, or has been, there is nothing left to flush.
    eventually("the activity is on its row", SOON, || {
        client.run("SELECT session_timeout.flush_sessions()");
        client.stored("sid-active").expect("a row").last_activity >= touched
    });
}

/// PostgreSQL 15.20 and its like stamp each column with an option that an older minor version of a later major does not
/// know: to such a server no cluster with a table can be upgraded. Takes the stamps away there.
fn unstamp(client: &mut Client, later: &Server) {
    let pg_dump = fs::read(later.bindir().join("pg_dump")).expect("the later pg_dump");
    if !pg_dump.windows(9).any(|bytes| bytes == b"pg_attver") {
        client.run(
            "UPDATE pg_attribute SET attoptions = NULL \
             WHERE attrelid >= 16384 AND attoptions::text ~ '^{pg_attver=[0-9]+}$'",
        );
    }
}

/// Upgraded once for all tests: by pg_upgrade, as docs/installing.md says.
fn upgraded() -> &'static Upgraded {
    static UPGRADED: OnceLock<Upgraded> = OnceLock::new();
    UPGRADED.get_or_init(|| {
        let earlier = env::var_os("SESSION_TIMEOUT_OLD_PG_BINDIR").map(PathBuf::from);
        let earlier = earlier.expect("scripts/test-pg-upgrade.sh sets SESSION_TIMEOUT_OLD_PG_BINDIR");
        let server = builder().initialize();
        let old = builder().bindir(&earlier).start();
        old.execute(&format!("CREATE DATABASE {DATABASE}"));
        let mut client = connect(&old);
        fill(&mut client);
        let (parameters, sessions, events) = (parameters(&mut client), sessions(&mut client), events(&mut client));
        unstamp(&mut client, &server);
        drop(client);
        old.stop(Shutdown::Fast);

        let mut pg_upgrade = server.command_as_server("pg_upgrade");
        pg_upgrade.args(["--username", "postgres", "--retain", "--old-bindir"]);
        pg_upgrade.arg(&earlier).arg("--new-bindir").arg(server.bindir());
        pg_upgrade.arg("--old-datadir").arg(old.data_directory());
        pg_upgrade.arg("--new-datadir").arg(server.data_directory());
        pg_upgrade.arg("--socketdir").arg(server.directory());
        // The start of a background process is logged at this level.
        pg_upgrade.args(["--old-options", "-c log_min_messages=debug1"]);
        pg_upgrade.args(["--new-options", "-c log_min_messages=debug1"]);
        let output = pg_upgrade.output().expect("pg_upgrade runs");
        let kept = logs_of_pg_upgrade(&server);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}\n{}", kept.restored);
        server.start();
        Upgraded {
            server,
            parameters,
            sessions,
            events,
            log: kept.servers,
        }
    })
}

/// What pg_upgrade keeps of its one run: the logs of the servers that it started, and those of its restores.
struct Logs {
    servers: String,
    restored: String,
}

fn logs_of_pg_upgrade(server: &Server) -> Logs {
    let output = server.data_directory().join("pg_upgrade_output.d");
    let mut logs = Logs {
        servers: String::new(),
        restored: String::new(),
    };
    for run in fs::read_dir(output).expect("pg_upgrade keeps its output").flatten() {
        for file in fs::read_dir(run.path().join("log")).expect("its logs").flatten() {
            let text = fs::read_to_string(file.path()).expect("a log");
            match file.file_name().to_str() {
                Some("pg_upgrade_server.log") => logs.servers += &text,
                Some(name) if name.starts_with("pg_upgrade_dump_") => logs.restored += &text,
                _ => {}
            }
        }
    }
    logs
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn pg_upgrade_keeps_parameters() {
    let upgraded = upgraded();
    let mut client = connect(&upgraded.server);
    assert_eq!(parameters(&mut client), upgraded.parameters);
    assert_eq!(client.peek("sid-active").expires_at, {
        let active = client.stored("sid-active").expect("its row").last_activity;
        Some(active + session_timeout_tests::chrono::TimeDelta::hours(1))
    });
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn pg_upgrade_keeps_sessions_with_their_clocks_and_limits() {
    let upgraded = upgraded();
    let mut client = connect(&upgraded.server);
    for (now, before) in sessions(&mut client).into_iter().zip(&upgraded.sessions) {
        let (now, before) = (now.expect("a row now"), before.as_ref().expect("a row before"));
        assert_eq!(now.user_name, before.user_name);
        assert_eq!(now.opened_at, before.opened_at);
        assert_eq!(now.last_activity, before.last_activity);
        assert_eq!(now.idle_delay, before.idle_delay);
        assert_eq!(now.absolute_delay, before.absolute_delay);
        assert_eq!(now.version, before.version);
    }
    for sid in OPEN {
        assert!(client.peek(sid).valid, "{sid}");
    }
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn pg_upgrade_keeps_closed_sessions_closed_and_their_events() {
    let upgraded = upgraded();
    let mut client = connect(&upgraded.server);
    assert!(!client.check("sid-closed"));
    let now = events(&mut client);
    assert_eq!(now[..upgraded.events.len()], upgraded.events);
    assert!(!upgraded.events.is_empty());
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn a_login_after_pg_upgrade_has_a_greater_version_than_all_before() {
    let upgraded = upgraded();
    let mut client = connect(&upgraded.server);
    client.open("sid-new");
    let new = client.stored("sid-new").expect("its row").version;
    let before = upgraded.sessions.iter().flatten().map(|stored| stored.version).max();
    assert!(Some(new) > before, "{new} and before {before:?}");
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn after_pg_upgrade_the_worker_ends_idle_sessions() {
    let upgraded = upgraded();
    let mut client = connect(&upgraded.server);
    client.open("sid-idle");
    client.has_been_idle("sid-idle", "2 hours");
    eventually("the worker ends the session", SOON, || {
        client.event_kinds("sid-idle") == ["idle_expired"]
    });
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn pg_upgrade_makes_what_a_fresh_install_makes() {
    let upgraded = upgraded();
    let objects = |client: &mut Client| {
        let all = inventory(client).into_iter();
        all.filter(|line| !line.starts_with("parameter ")).collect()
    };
    let fresh = objects(&mut upgraded.server.database("fresh").connect());
    let differences = difference(&fresh, &objects(&mut connect(&upgraded.server)));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
#[ignore = "needs the servers of two versions: make test-pg-upgrade"]
fn no_launcher_runs_in_the_servers_that_pg_upgrade_starts() {
    let log = &upgraded().log;
    assert!(log.contains("shutting down"), "the log is there:\n{log}");
    let launcher: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("session_timeout launcher"))
        .collect();
    assert_eq!(launcher, [""; 0]);
}
