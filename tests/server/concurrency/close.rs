//! `close_session` against another transaction on the same session.

use crate::support::{
    ISOLATION_LEVELS, InFlight, SNAPSHOT_LEVELS, SessionCalls, all_at_once, app, begin, new_sid, try_call,
};

#[test]
fn the_second_of_two_closes_at_once_waits_and_finds_nothing_open() {
    for level in SNAPSHOT_LEVELS {
        let (mut first, mut second, mut observer) = (app(), app(), app());
        let sid = new_sid();
        first.open(&sid);
        begin(&mut first, level);
        begin(&mut second, level);
        assert!(first.close_sid(&sid));
        let closing = InFlight::start(second, {
            let sid = sid.clone();
            move |second| second.close_sid(&sid)
        });
        closing.is_waiting(&mut observer);
        first.run("COMMIT");
        assert!(!closing.answer(), "{level}");
    }
}

#[test]
fn the_second_of_two_closes_at_once_closes_if_the_first_rolls_back() {
    for level in ISOLATION_LEVELS {
        let (mut first, mut second, mut observer) = (app(), app(), app());
        let sid = new_sid();
        first.open(&sid);
        begin(&mut first, level);
        begin(&mut second, level);
        assert!(first.close_sid(&sid));
        let closing = InFlight::start(second, {
            let sid = sid.clone();
            move |second| second.close_sid(&sid)
        });
        closing.is_waiting(&mut observer);
        first.run("ROLLBACK");
        assert!(closing.answer(), "{level}");
    }
}

#[test]
fn just_one_of_many_closes_at_once_finds_the_session_open() {
    for _ in 0..10 {
        let sid = new_sid();
        let mut observer = app();
        observer.open(&sid);
        let closes = all_at_once((0..6).map(|_| app()), {
            let sid = sid.clone();
            move |client, _| client.close_sid(&sid)
        });
        assert_eq!(closes.iter().filter(|was_open| **was_open).count(), 1, "{closes:?}");
        assert_eq!(observer.event_kinds(&sid), ["closed"]);
    }
}

#[test]
fn a_close_waits_for_a_re_login_in_flight_and_closes_the_session() {
    let (mut opener, closer, mut observer) = (app(), app(), app());
    let sid = new_sid();
    opener.open(&sid);
    opener.run("BEGIN");
    opener.open(&sid);
    let closing = InFlight::start(closer, {
        let sid = sid.clone();
        move |closer| closer.close_sid(&sid)
    });
    closing.is_waiting(&mut observer);
    opener.run("COMMIT");
    assert!(closing.answer());
    assert!(!observer.check(&sid));
}

#[test]
fn a_close_finds_nothing_open_after_others_have_deleted_the_row() {
    for level in SNAPSHOT_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        other.open(&sid);
        begin(&mut old, level);
        other.write(
            "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
            &[&sid],
        );
        assert_eq!(
            try_call(&mut old, &format!("close_session('{sid}')")),
            Ok(false),
            "{level}"
        );
    }
}
