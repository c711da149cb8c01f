//! A check in an old transaction, or in an old statement, sees what was committed since.

use crate::support::preloaded::{self, QUIET};
use crate::support::{ISOLATION_LEVELS, InFlight, STRICT_LEVELS, SessionCalls, app, begin, new_sid};

#[test]
fn an_old_snapshot_hides_no_close_from_a_check() {
    let database = preloaded::database("old_snapshot", &QUIET);
    let (mut client, mut admin) = (database.connect(), database.connect());
    for level in STRICT_LEVELS {
        let (sid, later) = (new_sid(), new_sid());
        admin.open(&sid);
        begin(&mut client, level);
        assert!(client.check(&sid));
        admin.close_sid(&sid);
        admin.open(&later);
        assert!(!client.check(&sid), "{level}");
        assert!(client.check(&later), "{level}");
        client.run("COMMIT");
    }
}

#[test]
fn a_check_in_an_old_transaction_sees_a_close_committed_since() {
    for level in ISOLATION_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        other.open(&sid);
        begin(&mut old, level);
        assert!(old.check(&sid));
        assert!(other.close_sid(&sid));
        assert!(!old.check(&sid), "{level}");
        old.run("COMMIT");
    }
}

#[test]
fn a_check_in_an_old_transaction_sees_a_login_committed_since() {
    for level in ISOLATION_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        begin(&mut old, level);
        assert!(!old.check(&sid));
        other.open(&sid);
        assert!(old.check(&sid), "{level}");
        old.run("COMMIT");
    }
}

#[test]
fn a_check_sees_that_a_session_was_closed_since_its_transaction_began() {
    for isolation in ISOLATION_LEVELS {
        let (mut app, mut other, sid) = (app(), app(), new_sid());
        app.open(&sid);
        app.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert!(app.check(&sid));
        other.close_sid(&sid);
        assert!(!app.check(&sid), "{isolation}");
    }
}

#[test]
fn a_check_sees_that_a_session_was_opened_since_its_transaction_began() {
    for isolation in ISOLATION_LEVELS {
        let (mut app, mut other, sid) = (app(), app(), new_sid());
        app.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert!(!app.check(&sid));
        other.open(&sid);
        assert!(app.check(&sid), "{isolation}");
    }
}

#[test]
fn a_check_sees_that_a_session_was_closed_since_its_statement_began() {
    let (mut app, mut other, sid) = (app(), app(), new_sid());
    app.open(&sid);
    // The statement waits, once it has begun and before its check, until the other has closed the session.
    let lock = format!("hashtext('{sid}')");
    other.run(&format!("SELECT pg_advisory_lock({lock})"));
    let sql = format!(
        "SELECT session_timeout.check_session('{sid}') FROM (SELECT pg_advisory_lock({lock}) OFFSET 0) AS meanwhile"
    );
    let checking = InFlight::start(app, move |client| client.value(&sql, &[]));
    checking.is_waiting(&mut other);
    assert!(other.close_sid(&sid));
    other.run(&format!("SELECT pg_advisory_unlock({lock})"));
    let seen: bool = checking.answer();
    assert!(!seen);
}
