//! Tables that an administrator has altered so that they cannot be used are an error that says so.

use session_timeout_tests::{error_of, eventually};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SOON, SessionCalls, new_sid, open_expired, wait_until_gone, worker_figure};

#[test]
fn an_added_column_that_cannot_be_filled_is_refused_by_name() {
    let database = preloaded::database("unfilled", &QUICK);
    let mut admin = database.connect();
    admin.run("ALTER TABLE session_timeout.session ADD COLUMN \"n\u{f6}tig\" int NOT NULL");
    let open = "SELECT session_timeout.open_session('sid')";
    let error = error_of(admin.batch_execute(open));
    assert_eq!(error.sqlstate, "23502");
    assert!(error.message.contains("\"n\\xc3\\xb6tig\""), "{error}");
    admin.run(
        "ALTER TABLE session_timeout.session DROP COLUMN \"n\u{f6}tig\", \
         ADD COLUMN age interval GENERATED ALWAYS AS (last_activity - opened_at) STORED",
    );
    assert_eq!(error_of(admin.batch_execute(open)).sqlstate, "0A000");
    admin.run("ALTER TABLE session_timeout.session DROP COLUMN age");
    admin.run(open);
}

#[test]
fn a_pass_that_cannot_fill_an_added_column_shows_the_sqlstate() {
    let database = preloaded::database("unfilled_event", &QUICK);
    let mut admin = database.connect();
    admin.run("ALTER TABLE session_timeout.session_event ADD COLUMN needed int NOT NULL");
    let sid = new_sid();
    open_expired(&mut admin, &sid);
    eventually("a pass fails", SOON, || worker_figure(&mut admin, "failures") > 0);
    let error: String = admin.value(
        "SELECT last_error FROM session_timeout.stat_worker WHERE datname = current_database()",
        &[],
    );
    assert_eq!(error, "23502");
    admin.run("ALTER TABLE session_timeout.session_event DROP COLUMN needed");
    wait_until_gone(&mut admin, &sid);
    assert_eq!(admin.event_kinds(&sid), ["idle_expired"]);
}

/// Takes the view out of the extension, which keeps columns of `session` from being altered.
const WITHOUT_VIEW: &str = "ALTER EXTENSION inactive_session_timeout DROP VIEW session_timeout.active_session; \
     DROP VIEW session_timeout.active_session";

/// What reads or writes our tables.
const CALLS: [&str; 16] = [
    "SELECT session_timeout.check_session('sid')",
    "SELECT session_timeout.check_session('not loaded', '/x')",
    "SELECT session_timeout.session_verdict('sid')",
    "SELECT session_timeout.peek_session('sid')",
    "SELECT session_timeout.open_session('sid', 'alice')",
    "SELECT session_timeout.open_session('new', 'alice', '1 hour')",
    "SELECT session_timeout.rotate_session('sid', 'rotated')",
    "SELECT session_timeout.close_session('sid')",
    "SELECT session_timeout.close_user_sessions('alice')",
    "SELECT session_timeout.purge_sessions()",
    "SELECT session_timeout.flush_sessions()",
    "SELECT session_timeout.get_param('mine')",
    "SELECT session_timeout.set_param('mine', '1')",
    "UPDATE session_timeout.config_parameter SET write_uid = 1",
    "DELETE FROM session_timeout.session",
    "TRUNCATE session_timeout.session",
];

#[test]
fn a_table_that_has_been_altered_is_an_error_that_says_so() {
    let server = preloaded::alone();
    for (table, alter, named) in [
        ("config_parameter", "ALTER value TYPE integer USING 7200", "\"value\""),
        ("config_parameter", "ALTER value TYPE varchar", "\"value\""),
        ("config_parameter", "ALTER key TYPE integer USING id", "\"key\""),
        ("config_parameter", "ALTER id TYPE bigint", "\"id\""),
        ("config_parameter", "ALTER write_date TYPE text", "\"write_date\""),
        ("config_parameter", "DROP value", "\"value\""),
        ("config_parameter", "RENAME key TO keys", "\"key\""),
        ("session", "ALTER version TYPE text", "\"version\""),
        (
            "session",
            "ALTER user_name TYPE integer USING 1, DROP CONSTRAINT session_user_name_length",
            "\"user_name\"",
        ),
        ("session", "ALTER last_activity TYPE text", "\"last_activity\""),
        ("session", "DROP idle_delay", "\"idle_delay\""),
        ("session_event", "ALTER at TYPE text", "\"at\""),
        ("session_event", "ALTER digest TYPE text USING 'x'", "\"digest\""),
        ("session_event", "DROP user_name", "\"user_name\""),
    ] {
        let database = preloaded::database_on(&server, "broken", &QUICK);
        let mut admin = database.connect();
        admin.open("sid");
        assert!(admin.check("sid"));
        if table == "session" {
            admin.run(WITHOUT_VIEW);
            // The index of a column that gets another type is rebuilt; its condition may not fit.
            admin.run("DROP INDEX session_timeout.session_user_name_idx");
        }
        admin.run(&format!("ALTER TABLE session_timeout.{table} {alter}"));
        let mut refusals = 0;
        for call in CALLS {
            if let Err(error) = admin.batch_execute(call) {
                let error = error_of::<()>(Err(error));
                assert_eq!(error.sqlstate, "55000", "{alter}: {call}: {error}");
                let table = format!("\"session_timeout.{table}\"");
                assert!(
                    error.message.contains(&table) && error.message.contains(named),
                    "{call}: {error}"
                );
                refusals += 1;
            }
        }
        assert!(refusals > 0, "{table} {alter}");
    }
    assert!(!server.log().contains("terminated by signal"));
}

#[test]
fn a_pass_over_altered_tables_fails_until_they_are_restored() {
    let server = preloaded::alone();
    for table in [
        "config_parameter RENAME value TO val",
        "session RENAME version TO versions",
    ] {
        let database = preloaded::database_on(&server, "broken_pass", &QUICK);
        let mut admin = database.connect();
        let sid = new_sid();
        open_expired(&mut admin, &sid);
        admin.run(&format!("ALTER TABLE session_timeout.{table}"));
        eventually("a pass fails", SOON, || worker_figure(&mut admin, "failures") > 0);
        let error: String = admin.value(
            "SELECT last_error FROM session_timeout.stat_worker WHERE datname = current_database()",
            &[],
        );
        assert_eq!(error, "55000");
        let words: Vec<&str> = table.split(' ').collect();
        admin.run(&format!(
            "ALTER TABLE session_timeout.{} RENAME {} TO {}",
            words[0], words[4], words[2]
        ));
        wait_until_gone(&mut admin, &sid);
    }
    assert!(!server.log().contains("terminated by signal"));
}

#[test]
fn another_relation_instead_of_a_table_is_an_error_that_says_so() {
    let server = preloaded::alone();
    for table in ["session", "config_parameter"] {
        for (kind, replacement) in [
            (
                "VIEW",
                "CREATE VIEW session_timeout.{} AS SELECT * FROM session_timeout.kept",
            ),
            (
                "TABLE",
                "CREATE TABLE session_timeout.{} (LIKE session_timeout.kept) PARTITION BY LIST (digest)",
            ),
            (
                "MATERIALIZED VIEW",
                "CREATE MATERIALIZED VIEW session_timeout.{} AS SELECT * FROM session_timeout.kept",
            ),
        ] {
            let database = preloaded::database_on(&server, "replaced", &QUICK);
            let mut admin = database.connect();
            let key = if table == "session" { "digest" } else { "key" };
            admin.run(&format!(
                "ALTER EXTENSION inactive_session_timeout DROP TABLE session_timeout.{table}; \
                 ALTER TABLE session_timeout.{table} RENAME TO kept; {}; \
                 ALTER EXTENSION inactive_session_timeout ADD {kind} session_timeout.{table}",
                replacement
                    .replace("{}", table)
                    .replace("(digest)", &format!("({key})")),
            ));
            let error = error_of(admin.batch_execute("SELECT session_timeout.check_session('sid')"));
            assert_eq!(error.sqlstate, "55000", "{kind}: {error}");
            assert_eq!(error.message, format!("\"session_timeout.{table}\" is not a table"));
        }
    }
    assert!(!server.log().contains("terminated by signal"));
}

#[test]
fn an_altered_verdict_is_an_error_that_says_so() {
    let database = preloaded::database("verdicts", &QUICK);
    let mut admin = database.connect();
    admin.open("sid");
    for (alter, undo) in [
        ("ADD ATTRIBUTE more text", "DROP ATTRIBUTE more"),
        (
            "ALTER ATTRIBUTE expires_at TYPE text",
            "ALTER ATTRIBUTE expires_at TYPE timestamptz",
        ),
        (
            "ALTER ATTRIBUTE expires_in TYPE bigint",
            "ALTER ATTRIBUTE expires_in TYPE interval",
        ),
    ] {
        admin.run(&format!("ALTER TYPE session_timeout.verdict {alter}"));
        for function in ["session_verdict", "peek_session"] {
            let error = error_of(admin.batch_execute(&format!("SELECT session_timeout.{function}('sid')")));
            assert_eq!(error.sqlstate, "55000", "{alter}: {error}");
            assert!(error.message.contains("session_timeout.verdict"), "{error}");
        }
        assert!(admin.check("sid"));
        admin.run(&format!("ALTER TYPE session_timeout.verdict {undo}"));
        admin.run("SELECT session_timeout.session_verdict('sid')");
    }
}

#[test]
fn a_sequence_whose_numbers_could_come_again_is_an_error_that_says_so() {
    let database = preloaded::database("sequences", &QUICK);
    let mut admin = database.connect();
    let open = "SELECT session_timeout.open_session('sid')";
    let set = "SELECT session_timeout.set_param('mine', '1')";
    for (sequence, alter, call, sqlstate, undo) in [
        ("session_version_seq", "CYCLE", open, "55000", "NO CYCLE"),
        ("session_version_seq", "INCREMENT -1", open, "55000", "INCREMENT 1"),
        (
            "session_version_seq",
            "AS smallint RESTART 32767",
            "SELECT nextval('session_timeout.session_version_seq')",
            "",
            "",
        ),
        ("session_version_seq", "", open, "2200H", "AS bigint NO MAXVALUE"),
        ("config_parameter_id_seq", "CYCLE", set, "55000", "NO CYCLE"),
        (
            "config_parameter_id_seq",
            "AS bigint RESTART 3000000000",
            set,
            "55000",
            "AS integer RESTART 100",
        ),
    ] {
        if !alter.is_empty() {
            admin.run(&format!("ALTER SEQUENCE session_timeout.{sequence} {alter}"));
        }
        if sqlstate.is_empty() {
            admin.run(call);
            continue;
        }
        let error = error_of(admin.batch_execute(call));
        assert_eq!(error.sqlstate, sqlstate, "{sequence} {alter}: {error}");
        assert!(error.message.contains(sequence), "{error}");
        admin.run(&format!("ALTER SEQUENCE session_timeout.{sequence} {undo}"));
        admin.run(call);
        admin.run("SELECT session_timeout.set_param('mine', NULL)");
    }
}

#[test]
fn a_dropped_key_is_an_error_that_says_so() {
    let database = preloaded::database("keyless", &QUICK);
    let mut admin = database.connect();
    admin.run(
        "ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey; \
         ALTER TABLE session_timeout.config_parameter DROP CONSTRAINT config_parameter_key_key",
    );
    assert!(!admin.check("sid"));
    for (call, table, column) in [
        ("SELECT session_timeout.open_session('sid')", "session", "digest"),
        (
            "SELECT session_timeout.set_param('mine', '1')",
            "config_parameter",
            "key",
        ),
    ] {
        let error = error_of(admin.batch_execute(call));
        assert_eq!(error.sqlstate, "55000", "{error}");
        assert_eq!(
            error.message,
            format!("table \"session_timeout.{table}\" has no unique index on column \"{column}\"")
        );
    }
    // Without an index, the parameters are found all the same.
    admin.run("UPDATE session_timeout.config_parameter SET value = '60' WHERE key = 'inactive_session_time_out_delay'");
    let value: String = admin.value(
        "SELECT session_timeout.get_param('inactive_session_time_out_delay')",
        &[],
    );
    assert_eq!(value, "60");
    admin.run("ALTER TABLE session_timeout.session ADD PRIMARY KEY (digest)");
    admin.open("sid");
    assert_eq!(
        admin.peek("sid").idle_limit(),
        Some(session_timeout_tests::chrono::TimeDelta::seconds(60))
    );
}
