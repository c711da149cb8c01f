//! When a change counts, and for whom.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{error_of, param};

use super::{Change, DELETE, HOUR, INSERT, SET_PARAM, SET_PARAM_NULL, TRUNCATE, UPDATE};
use crate::support::{DELAY, ISOLATION_LEVELS, OwnDatabase, SessionCalls, new_sid, own_database};

/// A session under the delay that is in force before the change; the connection that opened it has seen that delay.
fn before(change: &Change) -> (OwnDatabase, Client, String) {
    let database = own_database();
    database.execute(change.prepare);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    assert_delay(&mut app, &sid, change.before, "before the change");
    (database, app, sid)
}

#[track_caller]
fn assert_delay(client: &mut Client, sid: &str, expected: TimeDelta, when: &str) {
    assert_eq!(client.peek(sid).idle_limit(), Some(expected), "{when}");
}

/// Another open connection sees the change at its next check, also inside a transaction that it has begun before.
#[track_caller]
fn assert_seen_by_others(change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut observers = vec![("without a transaction", database.connect())];
    for isolation in ISOLATION_LEVELS {
        let mut observer = database.connect();
        observer.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        observers.push((isolation, observer));
    }
    for (observer, client) in &mut observers {
        assert_delay(client, &sid, change.before, observer);
    }
    admin.run(change.change);
    for (observer, client) in &mut observers {
        assert_delay(client, &sid, change.after, observer);
    }
}

/// The transaction that makes the change sees it at once, others not before its commit.
#[track_caller]
fn assert_seen_by_its_own_transaction_alone(change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut other = database.connect();
    assert_delay(&mut other, &sid, change.before, "another connection, before");
    admin.run("BEGIN");
    admin.run(change.change);
    assert_delay(&mut admin, &sid, change.after, "its own transaction");
    assert_delay(&mut other, &sid, change.before, "another connection, before the commit");
}

#[track_caller]
fn assert_undone_by(undo: &str, change: &Change) {
    let (database, mut admin, sid) = before(change);
    let mut other = database.connect();
    assert_delay(&mut other, &sid, change.before, "another connection, before");
    admin.run("BEGIN; SAVEPOINT here");
    admin.run(change.change);
    assert_delay(&mut admin, &sid, change.after, "its own transaction");
    admin.run(undo);
    assert_delay(&mut admin, &sid, change.before, "its own transaction, afterwards");
    admin.run("COMMIT");
    assert_delay(&mut admin, &sid, change.before, "its own connection, in the end");
    assert_delay(&mut other, &sid, change.before, "another connection, in the end");
}

/// The same tests for each way to change a parameter.
macro_rules! for_every_way_to_change {
    ($($way:ident: $change:expr;)*) => {$(
        mod $way {
            use super::*;

            #[test]
            fn is_seen_by_others_at_their_next_check() {
                assert_seen_by_others(&$change);
            }

            #[test]
            fn is_seen_at_once_by_its_own_transaction_and_by_others_at_commit() {
                assert_seen_by_its_own_transaction_alone(&$change);
            }

            #[test]
            fn is_taken_back_by_a_rollback() {
                assert_undone_by("ROLLBACK; BEGIN", &$change);
            }

            #[test]
            fn is_taken_back_by_a_rollback_to_a_savepoint() {
                assert_undone_by("ROLLBACK TO here", &$change);
            }
        }
    )*};
}

for_every_way_to_change! {
    a_change_by_update: UPDATE;
    a_change_by_insert: INSERT;
    a_change_by_delete: DELETE;
    a_change_by_truncate: TRUNCATE;
    a_change_by_set_param: SET_PARAM;
    a_change_by_set_param_null: SET_PARAM_NULL;
}

#[test]
fn a_change_counts_for_the_rest_of_its_own_statement() {
    let (_database, mut app, sid) = before(&SET_PARAM);
    let left: i64 = app.value(
        "SELECT extract(epoch FROM (session_timeout.peek_session($1)).expires_at)::bigint \
              - extract(epoch FROM (session_timeout.peek_session($1)).last_activity)::bigint \
         FROM (SELECT session_timeout.set_param('inactive_session_time_out_delay', '3600') OFFSET 0) AS changed",
        &[&sid],
    );
    assert_eq!(left, 3600);
}

#[test]
fn a_shorter_delay_ends_a_live_session_at_its_next_check() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "90 minutes");
    assert!(app.peek(&sid).valid);
    database.set_params(&[(param::DELAY, "1 hour")]);
    assert!(!app.check(&sid));
}

#[test]
fn a_parameter_renamed_away_has_its_default() {
    let (_database, mut app, sid) = before(&DELETE);
    app.run("UPDATE session_timeout.config_parameter SET key = 'mine' WHERE key = 'inactive_session_time_out_delay'");
    assert_delay(&mut app, &sid, DELAY, "renamed");
}

/// A check that is cancelled while it waits to read the parameters must not take the old ones for read.
#[test]
fn a_change_is_seen_also_after_a_check_was_cancelled_while_reading_it() {
    let (database, mut app, sid) = before(&UPDATE);
    database.execute(UPDATE.change);
    let mut maintenance = database.connect();
    maintenance.run("BEGIN; LOCK TABLE session_timeout.config_parameter IN ACCESS EXCLUSIVE MODE");
    app.run("SET lock_timeout = '100ms'");
    let error = error_of(app.execute("SELECT session_timeout.check_session($1)", &[&sid]));
    assert_eq!(error.sqlstate, "55P03", "it waited for the lock: {error}");
    maintenance.run("ROLLBACK");
    assert_delay(&mut app, &sid, HOUR, "the next check");
}
