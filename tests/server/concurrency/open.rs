//! `open_session` against another transaction on the same session id.

use crate::support::{ISOLATION_LEVELS, InFlight, SNAPSHOT_LEVELS, SessionCalls, app, begin, new_sid, try_call};

/// Two transactions open one session id, the second while the first is in flight; then the first ends by `end`.
/// Answers the id, and the version of the first login while it was in flight.
fn open_twice(level: &str, end: &str) -> (String, i64) {
    let (mut first, mut second, mut observer) = (app(), app(), app());
    let sid = new_sid();
    begin(&mut first, level);
    begin(&mut second, level);
    first.open_as(&sid, "first");
    let version = first.stored(&sid).expect("a row").version;
    let waiting = InFlight::start(second, {
        let sid = sid.clone();
        move |second| second.open_as(&sid, "second")
    });
    waiting.is_waiting(&mut observer);
    first.run(end);
    let (mut second, ()) = waiting.finish();
    second.run("COMMIT");
    (sid, version)
}

#[test]
fn the_second_of_two_logins_at_once_waits_and_is_a_re_login() {
    for level in ISOLATION_LEVELS {
        let (sid, version) = open_twice(level, "COMMIT");
        let row = app().stored(&sid).expect("a row");
        assert_eq!(row.user_name.as_deref(), Some("second"), "{level}");
        assert!(row.version > version, "{level}: a new login has a new version");
    }
}

#[test]
fn the_second_of_two_logins_at_once_opens_if_the_first_rolls_back() {
    for level in ISOLATION_LEVELS {
        let (sid, _) = open_twice(level, "ROLLBACK");
        let row = app().stored(&sid).expect("a row");
        assert_eq!(row.user_name.as_deref(), Some("second"), "{level}");
    }
}

#[test]
fn logins_at_once_end_no_session() {
    let (sid, _) = open_twice("READ COMMITTED", "COMMIT");
    assert_eq!(app().event_kinds(&sid), [] as [&str; 0]);
}

#[test]
fn a_login_waits_for_a_close_in_flight_and_opens_a_new_session() {
    for level in SNAPSHOT_LEVELS {
        let (mut closer, mut opener, mut observer) = (app(), app(), app());
        let sid = new_sid();
        closer.open_as(&sid, "before");
        begin(&mut opener, level);
        closer.run("BEGIN");
        assert!(closer.close_sid(&sid));
        let login = InFlight::start(opener, {
            let sid = sid.clone();
            move |opener| {
                opener.open_as(&sid, "after");
                opener.run("COMMIT");
            }
        });
        login.is_waiting(&mut observer);
        closer.run("COMMIT");
        login.answer();
        assert_eq!(
            observer.stored(&sid).expect("a row").user_name.as_deref(),
            Some("after"),
            "{level}"
        );
    }
}

#[test]
fn no_login_waits_for_one_that_was_rolled_back_to_a_savepoint() {
    let (mut first, mut second) = (app(), app());
    let sid = new_sid();
    first.run("BEGIN; SAVEPOINT s");
    first.open_as(&sid, "first");
    first.run("ROLLBACK TO s");
    second.run("SET lock_timeout = '100ms'");
    second.open_as(&sid, "second");
    first.run("COMMIT");
    assert_eq!(try_call(&mut second, &format!("check_session('{sid}')")), Ok(true));
}
