//! Checks on a hot standby.

use session_timeout_tests::{error_of, eventually};

use crate::support::{
    SOON, SessionCalls, assert_no_process_broke, catch_up, check_many, connect, open_many, preloaded, processes,
};

#[test]
fn a_standby_checks_what_was_replayed_and_writes_nothing() {
    let primary = preloaded::builder().start();
    let database = primary.database("standby");
    let standby = primary.standby();
    let mut here = database.connect();
    open_many(&mut here, "sid", 20);
    here.open_limited("brief", Some("1 second"), None);
    catch_up(&primary, &standby);
    let mut there = connect(&standby, database.name());

    // Its touches are seen by all of its own backends.
    let row = there.peek("sid-1").last_activity.expect("activity");
    assert!(there.check("sid-1"));
    let mut other = connect(&standby, database.name());
    let touched = other.peek("sid-1").last_activity.expect("activity");
    assert!(touched > row, "{touched} is not after {row}");
    assert_eq!(
        here.peek("sid-1").last_activity,
        Some(row),
        "the primary knows nothing of it"
    );
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        there.run(&format!("BEGIN ISOLATION LEVEL {level}, READ ONLY"));
        assert!(there.check("sid-2"));
        assert!(!there.check("nobody"));
        there.run("ROLLBACK");
    }
    assert!(
        other.peek("sid-2").last_activity > Some(row),
        "a rollback keeps the touch"
    );

    // A check there sets no expired flag and expires nothing: the primary may have seen more requests.
    eventually("it is past its limit", SOON, || {
        there.peek("brief").status == "idle_expired"
    });
    assert_eq!(there.verdict("brief").status, "idle_expired");
    assert_eq!(check_many(&mut there, "sid", 20), 20);
    assert_eq!(processes(&mut there, "session_timeout launcher"), [0; 0]);
    assert_eq!(processes(&mut there, "session_timeout worker"), [0; 0]);

    // What changes sessions is refused, as PostgreSQL refuses any write there.
    for call in [
        "open_session('new')",
        "close_session('sid-1')",
        "purge_sessions()",
        "rotate_session('sid-1', 'x')",
    ] {
        let error = error_of(there.query(&format!("SELECT session_timeout.{call}"), &[]));
        assert_eq!(error.sqlstate, "25006", "{call}");
    }
    assert!(there.check("sid-1"));
    assert_no_process_broke(&standby);
}
