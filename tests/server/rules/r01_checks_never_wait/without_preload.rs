//! Without preload a check waits for no lock that another transaction holds. If it cannot write its touch at once, it
//! leaves that to a later check.

use std::time::{Duration, Instant};

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::{
    ISOLATION_LEVELS, SessionCalls, all_at_once, app, begin, new_sid, outcome, own_database, refuse_to_wait, unique,
};

/// What another transaction can be in the midst of, on the session whose id is `$1`.
const HELD_BY: [(&str, &str); 7] = [
    (
        "a row lock",
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
    ),
    ("a close", "SELECT session_timeout.close_session($1)"),
    ("a rotation", "SELECT session_timeout.rotate_session($1, $1 || '-new')"),
    ("a re-authentication", "SELECT session_timeout.open_session($1)"),
    (
        "an update by hand",
        "UPDATE session_timeout.session SET idle_delay = '1 hour' WHERE digest = session_timeout.session_digest($1)",
    ),
    (
        "a delete by hand",
        "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
    ),
    (
        "a lock of those who only read",
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR SHARE",
    ),
];

/// A session last active `idle` ago, and another transaction in the midst of `statement` on it.
fn held(statement: &str, idle: &str) -> (String, Client) {
    let mut holder = app();
    let sid = new_sid();
    holder.open(&sid);
    holder.has_been_idle(&sid, idle);
    holder.run("BEGIN");
    holder.write(statement, &[&sid]);
    (sid, holder)
}

#[test]
fn a_check_waits_for_no_row_lock() {
    for (what, statement) in HELD_BY {
        for level in ISOLATION_LEVELS {
            let (sid, mut holder) = held(statement, "1 hour");
            let mut checker = app();
            refuse_to_wait(&mut checker);
            begin(&mut checker, level);
            let valid = outcome(checker.query_one("SELECT session_timeout.check_session($1)", &[&sid]));
            assert_eq!(valid.map(|row| row.get(0)), Ok(true), "{what}, {level}");
            checker.run("COMMIT");
            holder.run("ROLLBACK");
        }
    }
}

#[test]
fn a_check_that_finds_a_session_expired_waits_for_no_row_lock() {
    for (what, statement) in HELD_BY {
        let (sid, mut holder) = held(statement, "3 hours");
        let mut checker = app();
        refuse_to_wait(&mut checker);
        let valid = outcome(checker.query_one("SELECT session_timeout.check_session($1)", &[&sid]));
        assert_eq!(valid.map(|row| row.get(0)), Ok(false), "{what}");
        holder.run("ROLLBACK");
    }
}

#[test]
fn a_check_waits_for_no_lock_on_the_table_that_readers_may_pass() {
    for mode in ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE"] {
        let database = own_database();
        let (mut holder, mut checker) = (database.connect(), database.connect());
        checker.open("sid");
        checker.has_been_idle("sid", "1 hour");
        holder.run(&format!("BEGIN; LOCK TABLE session_timeout.session IN {mode} MODE"));
        refuse_to_wait(&mut checker);
        assert!(checker.check("sid"), "{mode}");
        checker.run("BEGIN");
        assert!(checker.check("sid"), "{mode}");
        checker.run("COMMIT");
        holder.run("ROLLBACK");
    }
}

#[test]
fn a_touch_that_would_wait_is_skipped() {
    let (sid, mut holder) = held(HELD_BY[0].1, "1 hour");
    let mut checker = app();
    refuse_to_wait(&mut checker);
    let before = checker.stored(&sid);
    assert!(checker.check(&sid));
    assert_eq!(checker.stored(&sid), before);
    holder.run("ROLLBACK");
    assert!(checker.check(&sid));
    assert_ne!(checker.stored(&sid), before, "it is made up for by the next check");
}

#[test]
fn a_touch_that_other_checks_hold_up_is_skipped() {
    let (mut first, mut second) = (app(), app());
    let sid = new_sid();
    first.open(&sid);
    first.has_been_idle(&sid, "1 hour");
    first.run("BEGIN");
    assert!(first.check(&sid));
    refuse_to_wait(&mut second);
    assert!(second.check(&sid));
    first.run("COMMIT");
}

#[test]
fn a_transaction_that_has_checked_delays_no_check_or_login_of_others() {
    let (mut first, mut second) = (app(), app());
    let sid = new_sid();
    let user = unique("user");
    first.open_as(&sid, &user);
    first.run("BEGIN");
    assert!(first.check(&sid));
    refuse_to_wait(&mut second);
    second.open_as(&sid, &user);
    assert!(second.close_sid(&sid));
    first.run("COMMIT");
}

#[test]
fn parallel_requests_of_one_session_never_fail_in_any_isolation_level() {
    // So short a delay that nearly every check touches: a hundredth of it is the least age of a touch.
    let database = own_database();
    database.set_params(&[(param::DELAY, "2")]);
    for level in ISOLATION_LEVELS {
        database.connect().open("sid");
        let clients: Vec<Client> = (0..5).map(|_| database.connect()).collect();
        let ends = all_at_once(clients, move |client, _| {
            let end = Instant::now() + Duration::from_millis(600);
            let mut failures = Vec::new();
            let mut checks = 0;
            // On a busy machine for longer, until there are as many as make parallel requests.
            while Instant::now() < end || checks < 20 && failures.is_empty() {
                begin(client, level);
                let check = client.query_one("SELECT session_timeout.check_session('sid')", &[]);
                match outcome(check).map(|row| row.get::<_, bool>(0)) {
                    Ok(true) => checks += 1,
                    other => failures.push(format!("{other:?}")),
                }
                failures.extend(outcome(client.batch_execute("COMMIT")).err());
            }
            failures
        });
        assert_eq!(ends.concat(), [] as [String; 0], "{level}");
    }
}

#[test]
fn a_check_sees_nothing_of_what_another_has_not_committed() {
    for (what, statement) in HELD_BY {
        let (sid, mut holder) = held(statement, "1 minute");
        assert!(app().check(&sid), "{what}");
        assert!(!app().check(&format!("{sid}-new")), "{what}");
        holder.run("ROLLBACK");
    }
}

#[test]
fn no_check_waits_for_a_parameter_change_in_flight() {
    let database = own_database();
    let (mut setter, mut checker) = (database.connect(), database.connect());
    checker.open("sid");
    setter.run("BEGIN");
    setter.set_param(param::DELAY, Some("1"));
    refuse_to_wait(&mut checker);
    assert!(checker.check("sid"));
    setter.run("ROLLBACK");
}

#[test]
fn a_check_with_nothing_to_write_takes_no_transaction_id() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.run("BEGIN");
    app.check(&sid);
    let xid: Option<String> = app.value("SELECT pg_current_xact_id_if_assigned()::text", &[]);
    assert_eq!(xid, None);
}

#[test]
fn a_check_in_the_statement_that_changes_the_session_does_not_fail() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let valid: bool = app.value(
        "WITH changed AS (UPDATE session_timeout.session SET user_name = 'another' \
                          WHERE digest = session_timeout.session_digest($1) RETURNING 1) \
         SELECT session_timeout.check_session($1) FROM changed",
        &[&sid],
    );
    assert!(valid);
}
