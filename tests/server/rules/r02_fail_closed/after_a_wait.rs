//! A function that had to wait for a lock judges by the time after the wait.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{InFlight, SOON, SessionCalls, new_sid};

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
