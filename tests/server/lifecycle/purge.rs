//! Purging by hand.

use session_timeout_tests::param;

use crate::support::{SessionCalls, app, new_sid, own_database};

#[test]
fn purging_deletes_the_expired_sessions_and_no_other() {
    let database = own_database();
    let mut app = database.connect();
    let [fresh, old_but_used, idle, too_old] = [(); 4].map(|()| {
        let sid = new_sid();
        app.open_limited(&sid, None, Some("1 day"));
        sid
    });
    app.was_opened_ago(&old_but_used, "23 hours");
    app.has_been_idle(&idle, "3 hours");
    app.was_opened_ago(&too_old, "25 hours");
    app.purge();
    let left = [fresh, old_but_used, idle, too_old].map(|sid| app.stored(&sid).is_some());
    assert_eq!(left, [true, true, false, false]);
}

#[test]
fn purging_answers_how_many_sessions_it_expired() {
    let database = own_database();
    let mut app = database.connect();
    for idle in ["3 hours", "4 hours", "1 hour"] {
        let sid = new_sid();
        app.open(&sid);
        app.has_been_idle(&sid, idle);
    }
    assert_eq!(app.purge(), 2);
    assert_eq!(app.purge(), 0);
}

#[test]
fn purging_says_of_each_session_which_limit_it_was() {
    let database = own_database();
    let mut app = database.connect();
    let (idle, too_old) = (new_sid(), new_sid());
    app.open(&idle);
    app.has_been_idle(&idle, "3 hours");
    app.open_limited(&too_old, None, Some("1 hour"));
    app.was_opened_ago(&too_old, "2 hours");
    app.purge();
    assert_eq!(app.event_kinds(&idle), ["idle_expired"]);
    assert_eq!(app.event_kinds(&too_old), ["absolute_expired"]);
}

#[test]
fn without_preload_a_purge_ends_a_session_that_only_polls() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(app.check_url(&sid, "/websocket"));
    app.purge();
    assert!(!app.check_url(&sid, "/websocket"));
}

#[test]
fn purging_expires_nothing_where_the_limits_are_off() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "20 years");
    assert_eq!(app.purge(), 0);
}

#[test]
fn purging_deletes_the_events_older_than_their_retention_and_no_other() {
    let database = own_database();
    database.set_params(&[(param::EVENT_RETENTION, "1 day")]);
    let mut app = database.connect();
    let [old, recent] = [("25 hours", new_sid()), ("23 hours", new_sid())].map(|(ago, sid)| {
        app.open(&sid);
        app.close_sid(&sid);
        app.write(
            "UPDATE session_timeout.session_event SET at = clock_timestamp() - $2::text::interval \
             WHERE digest = session_timeout.session_digest($1)",
            &[&sid, &ago],
        );
        sid
    });
    app.purge();
    assert_eq!(app.events(&old).len(), 0);
    assert_eq!(app.events(&recent).len(), 1);
}

#[test]
fn with_a_retention_of_zero_no_event_is_written() {
    let database = own_database();
    database.set_params(&[(param::EVENT_RETENTION, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn with_a_retention_of_zero_purging_deletes_all_events() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    app.set_param(param::EVENT_RETENTION, Some("0"));
    app.purge();
    assert_eq!(app.events(&sid), []);
}

#[test]
fn without_preload_there_is_nothing_to_flush() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.check(&sid);
    let flushed: i64 = app.value("SELECT session_timeout.flush_sessions()", &[]);
    assert_eq!(flushed, 0);
}
