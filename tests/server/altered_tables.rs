//! Tables that an administrator has given more columns or other indexes, and that still can be used.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SOON, SessionCalls, new_sid, wait_until_gone};

const TABLES: [&str; 3] = ["session", "session_event", "config_parameter"];

/// Opens, checks, flushes, closes, expires and sets a parameter.
fn use_all_of_it(database: &Database) {
    let mut client = database.connect();
    let [closed, expired] = [(); 2].map(|()| new_sid());
    for sid in [&closed, &expired] {
        client.open(sid);
        assert!(client.check(sid));
    }
    client.write("SELECT session_timeout.flush_sessions()", &[]);
    client.write("SELECT session_timeout.set_param('mine', '1')", &[]);
    client.write("SELECT session_timeout.set_param('mine', NULL)", &[]);
    assert!(client.close_sid(&closed));
    client.has_been_idle(&expired, "3 hours");
    assert!(!client.check(&expired));
    wait_until_gone(&mut client, &expired);
    assert_eq!(client.event_kinds(&closed), ["closed"]);
    assert_eq!(client.event_kinds(&expired), ["idle_expired"]);
}

#[test]
fn added_columns_are_null_or_have_their_defaults() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "columns", &QUICK);
    let mut admin = database.connect();
    for table in TABLES {
        admin.run(&format!("ALTER TABLE session_timeout.{table} ADD COLUMN note text"));
        use_all_of_it(&database);
        admin.run(&format!("ALTER TABLE session_timeout.{table} DROP COLUMN note"));
        use_all_of_it(&database);
        admin.run(&format!(
            "ALTER TABLE session_timeout.{table} ADD COLUMN number int NOT NULL DEFAULT 5, \
             ADD COLUMN made timestamptz DEFAULT clock_timestamp(), ADD COLUMN words text DEFAULT 'as' || ' given'"
        ));
        use_all_of_it(&database);
    }
    let sid = new_sid();
    admin.open(&sid);
    admin.write("SELECT session_timeout.set_param('mine', '1')", &[]);
    for table in TABLES {
        let as_given: bool = admin.value(
            &format!("SELECT bool_and(number = 5 AND words = 'as given') FROM session_timeout.{table}"),
            &[],
        );
        assert!(as_given, "{table}");
    }
    let made: bool = admin.value(
        "SELECT made BETWEEN opened_at AND clock_timestamp() FROM session_timeout.session \
         WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert!(made);
    assert!(!server.log().contains("terminated by signal"));
}

/// Makes an index before that of the extension in PostgreSQL's list of them.
fn put_before(admin: &mut Client, index: &str) {
    admin.run(index);
    admin.run("REINDEX INDEX CONCURRENTLY session_timeout.session_user_name_idx");
}

#[test]
fn a_revocation_closes_every_session_whatever_other_indexes_there_are() {
    for index in [
        "(user_name) WHERE idle_delay IS NOT NULL",
        "(user_name) WHERE last_activity IS NOT NULL AND user_name <> 'alice'",
        "USING brin (user_name)",
        "USING hash (user_name)",
        "(user_name COLLATE \"default\")",
        "(user_name text_pattern_ops)",
        "(user_name DESC, opened_at)",
    ] {
        for keeps_ours in [true, false] {
            let database = preloaded::database("indexes", &QUICK);
            let mut admin = database.connect();
            put_before(
                &mut admin,
                &format!("CREATE INDEX another ON session_timeout.session {index}"),
            );
            if !keeps_ours {
                admin.run("DROP INDEX session_timeout.session_user_name_idx");
            }
            admin.run(
                "SELECT session_timeout.open_session('plain', 'alice'), session_timeout.open_session('other', 'bob')",
            );
            admin.run("SELECT session_timeout.open_session('limited', 'alice', '1 hour')");
            let closed: i64 = admin.value("SELECT session_timeout.close_user_sessions('alice')", &[]);
            assert_eq!(closed, 2, "{index}, {keeps_ours}");
            assert!(!admin.check("plain") && !admin.check("limited"), "{index}");
            assert!(admin.check("other"));
        }
    }
}

#[test]
fn parameters_are_found_whatever_other_indexes_there_are() {
    let database = preloaded::database("key_indexes", &QUICK);
    let mut admin = database.connect();
    admin.run("CREATE INDEX another ON session_timeout.config_parameter (key) WHERE value = '1'");
    admin.run("REINDEX INDEX CONCURRENTLY session_timeout.config_parameter_key_key");
    for value in ["1", "2", "3"] {
        admin.write("SELECT session_timeout.set_param('mine', $1)", &[&value]);
        let stored: String = admin.value("SELECT session_timeout.get_param('mine')", &[]);
        assert_eq!(stored, value);
    }
}

#[test]
fn sessions_are_found_by_another_primary_key_too() {
    let database = preloaded::database("other_key", &QUICK);
    let mut admin = database.connect();
    admin.run(
        "ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey; \
         ALTER TABLE session_timeout.session ADD PRIMARY KEY (version)",
    );
    admin.run("INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest('sid'))");
    assert!(admin.check("sid"));
    let touched = admin.verdict("sid").last_activity.expect("an activity");
    eventually("its activity is written down", SOON, || {
        admin.stored("sid").is_some_and(|row| row.last_activity >= touched)
    });
    assert!(admin.close_sid("sid"));
}

#[test]
fn versions_do_not_come_again_after_truncate_restart_identity() {
    let database = preloaded::database("restarted", &QUICK);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    let before = admin.stored(&sid).expect("a row").version;
    admin.run("TRUNCATE session_timeout.session RESTART IDENTITY");
    admin.open(&sid);
    assert!(admin.stored(&sid).expect("a row").version > before);
    assert!(admin.check(&sid));
}
