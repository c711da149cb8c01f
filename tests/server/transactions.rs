//! Transactions: when a change of sessions counts for whom, what takes it back, and what a transaction may do.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, error_of, param};

use crate::support::{ISOLATION_LEVELS, OwnDatabase, SessionCalls, app, common, new_sid, own_database, unique};

// ---- Changes of sessions ---------------------------------------------------------------------------------------------

/// A change of the sessions `{a}` and `{b}`, and whether each of them is valid before and after it.
struct Change {
    prepare: &'static str,
    change: &'static str,
    before: [bool; 2],
    after: [bool; 2],
    /// Whether it locks the table, so that others have to wait for its transaction.
    locks_table: bool,
}

const OPEN_A: &str = "SELECT session_timeout.open_session('{a}', '{a}')";

const OPEN: Change = Change {
    prepare: "",
    change: OPEN_A,
    before: [false, false],
    after: [true, false],
    locks_table: false,
};
const REOPEN: Change = Change {
    prepare: "SELECT session_timeout.open_session('{a}'); \
              UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours' \
              WHERE digest = session_timeout.session_digest('{a}')",
    ..OPEN
};
const CLOSE: Change = Change {
    prepare: OPEN_A,
    change: "SELECT session_timeout.close_session('{a}')",
    before: [true, false],
    after: [false, false],
    locks_table: false,
};
const CLOSE_USER: Change = Change {
    change: "SELECT session_timeout.close_user_sessions('{a}')",
    ..CLOSE
};
const ROTATE: Change = Change {
    change: "SELECT session_timeout.rotate_session('{a}', '{b}')",
    after: [false, true],
    ..CLOSE
};
const INSERT: Change = Change {
    change: "INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest('{a}'))",
    ..OPEN
};
const UPDATE: Change = Change {
    change: "UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours' \
             WHERE digest = session_timeout.session_digest('{a}')",
    ..CLOSE
};
const DELETE: Change = Change {
    change: "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest('{a}')",
    ..CLOSE
};
const TRUNCATE: Change = Change {
    change: "TRUNCATE session_timeout.session",
    locks_table: true,
    ..CLOSE
};

/// A change about to be made, and its two sessions.
struct Scene {
    // The connection is dropped before the database.
    admin: Client,
    sids: [String; 2],
    change: &'static Change,
    own: Option<OwnDatabase>,
}

impl Scene {
    fn of(change: &'static Change) -> Self {
        let own = change.locks_table.then(own_database);
        let database: &Database = own.as_deref().unwrap_or_else(|| common());
        let mut scene = Self {
            admin: database.connect(),
            sids: [new_sid(), new_sid()],
            change,
            own,
        };
        scene.run(change.prepare);
        scene
    }

    fn run(&mut self, sql: &str) {
        let [a, b] = &self.sids;
        self.admin.run(&sql.replace("{a}", a).replace("{b}", b));
    }

    fn make_change(&mut self) {
        self.run(self.change.change);
    }

    fn another(&self) -> Client {
        self.own.as_deref().unwrap_or_else(|| common()).connect()
    }

    #[track_caller]
    fn assert_valid(&self, client: &mut Client, expected: [bool; 2], when: &str) {
        assert_eq!(self.sids.each_ref().map(|sid| client.check(sid)), expected, "{when}");
    }

    #[track_caller]
    fn assert_valid_for_itself(&mut self, expected: [bool; 2], when: &str) {
        let valid = self.sids.each_ref().map(|sid| self.admin.check(sid));
        assert_eq!(valid, expected, "{when}");
    }
}

#[track_caller]
fn assert_seen_by_its_own_transaction(change: &'static Change) {
    let mut scene = Scene::of(change);
    scene.run("BEGIN");
    scene.make_change();
    scene.assert_valid_for_itself(change.after, "after the change");
}

#[track_caller]
fn assert_seen_by_others_at_commit(change: &'static Change) {
    for isolation in ISOLATION_LEVELS {
        let mut scene = Scene::of(change);
        let mut other = scene.another();
        other.run(&format!(
            "BEGIN ISOLATION LEVEL {isolation}; SELECT FROM pg_class LIMIT 1"
        ));
        scene.run("BEGIN");
        scene.make_change();
        if !change.locks_table {
            scene.assert_valid(&mut other, change.before, &format!("before the commit, {isolation}"));
        }
        scene.run("COMMIT");
        scene.assert_valid(&mut other, change.after, &format!("after the commit, {isolation}"));
    }
}

#[track_caller]
fn assert_undone_by(undo: &str, change: &'static Change) {
    let mut scene = Scene::of(change);
    let mut other = scene.another();
    scene.run("BEGIN; SAVEPOINT here");
    scene.make_change();
    scene.run(undo);
    scene.assert_valid_for_itself(change.before, "its own transaction");
    scene.run("COMMIT");
    scene.assert_valid(&mut other, change.before, "another connection");
}

/// The same tests for each way to change sessions.
macro_rules! for_every_change {
    ($($name:ident: $change:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn is_seen_at_once_by_its_own_transaction() {
                assert_seen_by_its_own_transaction(&$change);
            }

            #[test]
            fn is_seen_by_others_from_its_commit_on() {
                assert_seen_by_others_at_commit(&$change);
            }

            #[test]
            fn is_undone_by_a_rollback() {
                assert_undone_by("ROLLBACK; BEGIN", &$change);
            }

            #[test]
            fn is_undone_by_a_rollback_to_a_savepoint() {
                assert_undone_by("ROLLBACK TO here", &$change);
            }
        }
    )*};
}

for_every_change! {
    opening: OPEN;
    opening_an_expired_one_again: REOPEN;
    closing: CLOSE;
    closing_a_users_sessions: CLOSE_USER;
    rotating: ROTATE;
    a_row_inserted_by_hand: INSERT;
    a_row_updated_by_hand: UPDATE;
    a_row_deleted_by_hand: DELETE;
    a_truncate: TRUNCATE;
}

#[test]
fn a_session_opened_and_closed_in_one_transaction_is_closed() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    assert!(app.close_sid(&sid));
    app.run("COMMIT");
    assert!(!app.check(&sid));
}

#[test]
fn a_session_closed_and_opened_in_one_transaction_is_open() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.run("BEGIN");
    app.close_sid(&sid);
    app.open(&sid);
    app.run("COMMIT");
    assert!(app.check(&sid));
}

#[test]
fn a_session_is_valid_to_the_rest_of_the_statement_that_opens_it() {
    let (mut app, sid) = (app(), new_sid());
    let valid: bool = app.value(
        "SELECT session_timeout.check_session($1) FROM (SELECT session_timeout.open_session($1) OFFSET 0) AS opened",
        &[&sid],
    );
    assert!(valid);
}

#[test]
fn the_event_of_a_close_is_undone_with_it() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.run("BEGIN");
    app.close_sid(&sid);
    app.run("ROLLBACK");
    assert_eq!(app.events(&sid), []);
}

// ---- Read-only transactions ------------------------------------------------------------------------------------------

#[test]
fn a_check_answers_in_a_read_only_transaction() {
    let (mut app, open, closed) = (app(), new_sid(), new_sid());
    app.open(&open);
    app.has_been_idle(&open, "1 hour");
    app.run("BEGIN READ ONLY");
    assert_eq!((app.check(&open), app.check(&closed)), (true, false));
}

#[test]
fn a_touch_in_a_read_only_transaction_is_not_recorded() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.run("BEGIN READ ONLY");
    app.check(&sid);
    app.run("COMMIT");
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn an_expired_session_is_not_valid_in_a_read_only_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.run("BEGIN READ ONLY");
    assert!(!app.check(&sid));
}

#[test]
fn an_expiry_in_a_read_only_transaction_is_not_recorded() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.run("BEGIN READ ONLY");
    app.check(&sid);
    app.run("COMMIT");
    assert_eq!(app.stored(&sid), before);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn what_only_looks_works_in_a_read_only_transaction() {
    let mut app = app();
    app.run("BEGIN READ ONLY");
    for call in [
        "session_verdict('sid')",
        "peek_session('sid')",
        "session_digest('sid')",
        "get_param('key')",
        "flush_sessions()",
        "active_session",
    ] {
        app.run(&format!("SELECT * FROM session_timeout.{call}"));
    }
}

#[test]
fn what_writes_is_refused_in_a_read_only_transaction() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open_as(&sid, &user);
    let before = app.stored(&sid);
    for call in [
        format!("open_session('{sid}')"),
        format!("close_session('{sid}')"),
        format!("rotate_session('{sid}', 'new')"),
        format!("close_user_sessions('{user}')"),
        "purge_sessions()".to_owned(),
        "set_param('inactive_session_time_out_delay', '60')".to_owned(),
        "set_param('inactive_session_time_out_delay', NULL)".to_owned(),
    ] {
        app.run("BEGIN READ ONLY");
        let error = error_of(app.batch_execute(&format!("SELECT session_timeout.{call}")));
        app.run("ROLLBACK");
        assert_eq!(error.sqlstate, "25006", "{call}: {error}");
        assert_eq!(app.stored(&sid), before, "{call}");
    }
}

// ---- Failed transactions ---------------------------------------------------------------------------------------------

#[test]
fn in_a_failed_transaction_a_check_is_refused_as_any_query() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let check = app
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    app.run("BEGIN");
    error_of(app.batch_execute("SELECT 1 / 0"));
    assert_eq!(error_of(app.query_one(&check, &[&sid])).sqlstate, "25P02");
    app.run("ROLLBACK");
    assert!(app.check(&sid), "the session is as before");
}

#[test]
fn an_error_of_ours_undoes_what_its_transaction_did() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    error_of(app.execute("SELECT session_timeout.open_session('')", &[]));
    app.run("ROLLBACK");
    assert!(!app.check(&sid));
}

#[test]
fn an_error_of_ours_that_is_caught_leaves_the_rest_of_the_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    app.run(
        "DO $$ BEGIN PERFORM session_timeout.open_session(''); EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$",
    );
    app.run("COMMIT");
    assert!(app.check(&sid));
}

// ---- PREPARE TRANSACTION ---------------------------------------------------------------------------------------------

/// Prepares the transaction in which `statement` has been run. `{a}` in it is an open session of a user of that name.
fn prepare_after(app: &mut Client, statement: &str) -> Result<String, Box<session_timeout_tests::ServerError>> {
    let (sid, gid) = (new_sid(), unique("prepared"));
    app.open_as(&sid, &sid);
    app.has_been_idle(&sid, "1 hour");
    app.run("BEGIN");
    app.run(&statement.replace("{a}", &sid));
    match app.batch_execute(&format!("PREPARE TRANSACTION '{gid}'")) {
        Ok(()) => Ok(gid),
        Err(error) => Err(Box::new(session_timeout_tests::ServerError::of(&error))),
    }
}

#[track_caller]
fn assert_not_prepared_after(app: &mut Client, statement: &str) {
    let error = prepare_after(app, statement).expect_err(statement);
    assert_eq!(error.sqlstate, "0A000", "{statement}: {error}");
    // PostgreSQL refuses some of them by itself, since they NOTIFY; then it says so in other words.
    assert!(
        error.message.contains("changed sessions or their parameters"),
        "{statement}: {error}"
    );
    assert!(
        error.hint.contains("in a transaction of their own"),
        "{statement}: {error}"
    );
}

#[test]
fn a_transaction_that_called_what_changes_sessions_cannot_be_prepared() {
    let mut app = app();
    for call in [
        "open_session('{a}')",
        "open_session('{a}, new')",
        "close_session('{a}')",
        "close_user_sessions('{a}')",
        "rotate_session('{a}', '{a}, new')",
    ] {
        assert_not_prepared_after(&mut app, &format!("SELECT session_timeout.{call}"));
    }
}

#[test]
fn a_transaction_that_changed_session_rows_by_hand_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for statement in [
        "INSERT INTO session_timeout.session (digest) VALUES (sha256('new'))",
        "UPDATE session_timeout.session SET last_activity = last_activity - interval '1 second'",
        "DELETE FROM session_timeout.session",
        "TRUNCATE session_timeout.session",
    ] {
        assert_not_prepared_after(&mut app, statement);
    }
}

#[test]
fn a_transaction_that_changed_parameters_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for statement in [
        "SELECT session_timeout.set_param('inactive_session_time_out_delay', '60')",
        "SELECT session_timeout.set_param('inactive_session_time_out_delay', NULL)",
        "UPDATE session_timeout.config_parameter SET value = '60' WHERE value = '7200'",
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('inactive_session_time_out_delay', '60')",
        "DELETE FROM session_timeout.config_parameter",
        "TRUNCATE session_timeout.config_parameter",
    ] {
        assert_not_prepared_after(&mut app, statement);
    }
}

#[test]
fn a_transaction_that_purged_sessions_cannot_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    database.set_params(&[(param::DELAY, "1 minute")]);
    assert_not_prepared_after(&mut app, "SELECT session_timeout.purge_sessions()");
}

#[test]
fn a_transaction_that_was_not_prepared_is_rolled_back() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    error_of(app.batch_execute(&format!("PREPARE TRANSACTION '{}'", unique("prepared"))));
    assert!(!app.check(&sid));
}

#[test]
fn a_transaction_that_only_checked_can_be_prepared() {
    let database = own_database();
    let mut app = database.connect();
    for call in [
        "check_session('{a}')",
        "check_session('{a}', '/websocket')",
        "check_session('never opened')",
        "session_verdict('{a}')",
        "peek_session('{a}')",
        "get_param('key')",
    ] {
        let gid = prepare_after(&mut app, &format!("SELECT session_timeout.{call}")).expect(call);
        app.run(&format!("COMMIT PREPARED '{gid}'"));
    }
}

#[test]
fn a_transaction_after_one_that_changed_sessions_can_be_prepared() {
    for end in ["COMMIT", "ROLLBACK"] {
        let database = own_database();
        let (mut app, sid) = (database.connect(), new_sid());
        app.run("BEGIN");
        app.open(&sid);
        app.run(end);
        let gid = prepare_after(&mut app, "SELECT session_timeout.check_session('{a}')").expect(end);
        app.run(&format!("ROLLBACK PREPARED '{gid}'"));
    }
}
