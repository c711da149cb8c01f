//! Every way to change a session, without preload: who sees it, and when; what a rollback undoes.

use session_timeout_tests::Database;
use session_timeout_tests::postgres::Client;

use crate::support::{ISOLATION_LEVELS, OwnDatabase, SessionCalls, app, common, new_sid, own_database};

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
    a_login: OPEN;
    a_login_over_an_expired_session: REOPEN;
    a_close: CLOSE;
    a_revocation: CLOSE_USER;
    a_rotation: ROTATE;
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
