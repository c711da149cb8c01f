//! Found expired is final, whichever function found it: also where its transaction is rolled back, and a limit is raised
//! afterwards. Without a limit that is raised, its deadline alone would keep it out.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{InFlight, SOON, SessionCalls, new_sid, open_expired, wait_until_gone};

/// `sql`, with the session for `$1`, finds a session expired in a transaction that is rolled back; then the delay is raised.
#[track_caller]
fn is_final_after(sql: &str) {
    let database = preloaded::database("finality", &QUIET);
    let (mut finder, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut finder, &sid);
    finder.run("BEGIN");
    finder.run(&sql.replace("$1", &format!("'{sid}'")));
    other.set_param(param::DELAY, Some("1 day"));
    assert!(!other.check(&sid), "before the rollback");
    finder.run("ROLLBACK");
    assert!(!other.check(&sid), "after it");
    wait_until_gone(&mut other, &sid);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_that_a_check_found_expired_is_over() {
    is_final_after("SELECT session_timeout.check_session($1)");
}

#[test]
fn a_session_that_a_rotation_found_expired_is_over() {
    is_final_after("SELECT session_timeout.rotate_session($1, $1 || '-new')");
}

#[test]
fn a_session_that_a_rotation_onto_it_found_expired_is_over() {
    is_final_after(
        "SELECT session_timeout.open_session($1 || '-old'); SELECT session_timeout.rotate_session($1 || '-old', $1)",
    );
}

#[test]
fn a_session_that_the_purge_by_hand_found_expired_is_over() {
    is_final_after("SELECT session_timeout.purge_sessions()");
}

#[test]
fn a_session_that_a_login_found_expired_is_over() {
    is_final_after("SELECT session_timeout.open_session($1)");
}

#[test]
fn a_session_that_was_found_expired_behind_a_savepoint_is_over() {
    is_final_after("SAVEPOINT s; SELECT session_timeout.rotate_session($1, $1 || '-new'); ROLLBACK TO SAVEPOINT s");
}

/// A transaction that has changed more sessions than it lists goes by rows; what it finds of others' sessions is no less final.
#[test]
fn a_session_that_was_found_expired_after_changes_of_many_others_is_over() {
    let open_many = "SELECT count(session_timeout.open_session($1 || n)) FROM generate_series(1, 300) n";
    is_final_after(&format!("{open_many}; SELECT session_timeout.check_session($1)"));
}

#[test]
fn a_session_that_was_found_expired_by_limits_of_its_own_transaction_lives_on_after_the_rollback() {
    let database = preloaded::database("finality_own", &QUIET);
    let (mut finder, mut other) = (database.connect(), database.connect());
    for limit in [
        format!(
            "UPDATE session_timeout.config_parameter SET value = '1' WHERE key = '{}'",
            param::DELAY
        ),
        "UPDATE session_timeout.session SET idle_delay = '1 second'".to_owned(),
    ] {
        let sid = new_sid();
        finder.open(&sid);
        finder.has_been_idle(&sid, "1 minute");
        finder.run("BEGIN");
        finder.run(&limit);
        assert!(!finder.check(&sid), "{limit}");
        assert!(other.check(&sid), "{limit}");
        finder.run("ROLLBACK");
        assert!(other.check(&sid), "{limit}");
    }
}

// ---- Now is not read before something that can wait ------------------------------------------------------------------

/// Runs `sql` while `lock` is held, until the session is past its limit: what it answers.
#[track_caller]
fn answer_after_waiting(lock: &str, sql: &str) -> bool {
    let database = preloaded::database("late", &and(QUIET, (param::DELAY, "3")));
    let (mut locker, mut observer) = (database.connect(), database.connect());
    let sid = new_sid();
    locker.open(&format!("{sid}-taken"));
    locker.open(&sid);
    let with_sid = |sql: &str| sql.replace("$1", &format!("'{sid}'"));
    locker.run("BEGIN");
    locker.run(&with_sid(lock));
    let waiting = InFlight::start(database.connect(), {
        let sql = with_sid(sql);
        move |client: &mut Client| client.value::<bool>(&sql, &[])
    });
    waiting.is_waiting(&mut observer);
    let past = "SELECT clock_timestamp() > (SELECT opened_at FROM session_timeout.session \
                WHERE digest = session_timeout.session_digest($1)) + interval '3.2 seconds'";
    eventually("the session is past its limit", SOON, || {
        locker.value::<bool>(past, &[&sid])
    });
    locker.run("COMMIT");
    waiting.answer()
}

const LOCK_TABLE: &str = "LOCK TABLE session_timeout.session";

#[test]
fn a_check_that_waited_for_the_table_past_the_deadline_is_false() {
    assert!(!answer_after_waiting(
        LOCK_TABLE,
        "SELECT session_timeout.check_session($1)"
    ));
}

#[test]
fn a_verdict_that_waited_for_the_table_past_the_deadline_is_not_valid() {
    assert!(!answer_after_waiting(
        LOCK_TABLE,
        "SELECT (session_timeout.session_verdict($1)).valid"
    ));
}

#[test]
fn a_rotation_that_waited_past_the_deadline_is_false() {
    let rotate = "SELECT session_timeout.rotate_session($1, $1 || '-taken')";
    let lock_old = "SELECT 1 FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE";
    assert!(!answer_after_waiting(lock_old, rotate));
    // The first row is locked at once, the second is waited for.
    let close_new = "SELECT session_timeout.close_session($1 || '-taken')";
    assert!(!answer_after_waiting(close_new, rotate));
}

#[test]
fn a_login_that_waited_begins_when_it_has_waited() {
    let database = preloaded::database("late_login", &QUIET);
    let (mut first, mut observer) = (database.connect(), database.connect());
    let sid = new_sid();
    first.run("BEGIN");
    first.open(&sid);
    let login = InFlight::start(database.connect(), {
        let sid = sid.clone();
        move |client| client.open(&sid)
    });
    login.is_waiting(&mut observer);
    let waited_until: session_timeout_tests::chrono::DateTime<session_timeout_tests::chrono::Utc> =
        observer.value("SELECT clock_timestamp()", &[]);
    first.run("ROLLBACK");
    login.answer();
    let row = observer.stored(&sid).expect("a session");
    assert!(row.opened_at >= waited_until, "{row:?}");
}
