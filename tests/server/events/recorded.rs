//! Events: one for each session that ended, which says why, when and whose it was.

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};

use super::every_ending;
use crate::support::{SessionCalls, app, assert_just_now, new_sid, own_database};

#[test]
fn an_event_with_a_future_time_keeps_no_old_event() {
    let database = own_database();
    let mut admin = database.connect();
    admin.run(
        "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity) \
         SELECT now() + later, sha256(later::text::bytea), 'closed', now() \
         FROM unnest('{10 years, -60 days, -1 day}'::interval[]) AS later",
    );
    admin.purge();
    let left = admin
        .query("SELECT at FROM session_timeout.session_event ORDER BY id", &[])
        .expect("events");
    assert_eq!(left.len(), 2);
    assert_just_now(Some(left[0].get(0)));
}

#[test]
fn every_session_that_ends_leaves_one_event_that_says_why() {
    for (ending, _, _, events) in every_ending() {
        assert_eq!(events, [ending.kind], "{}", ending.how);
    }
}

#[test]
fn an_event_says_when_the_session_ended() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_just_now(app.events(&sid).first().map(|event| event.at));
}

#[test]
fn an_event_says_when_the_session_ended_by_the_wall_clock() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN; SELECT pg_sleep(0.05)");
    app.open(&sid);
    app.close_sid(&sid);
    let began: DateTime<Utc> = app.value("SELECT now()", &[]);
    let at = app.events(&sid)[0].at;
    assert!(
        at - TimeDelta::milliseconds(50) >= began,
        "{at} is the time of the call, and {began} of BEGIN"
    );
}

#[test]
fn an_event_says_whose_session_it_was() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.close_sid(&sid);
    assert_eq!(app.events(&sid)[0].user_name.as_deref(), Some("somebody"));
}

#[test]
fn an_event_says_when_the_session_was_last_active() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let row = app.stored(&sid).expect("a row");
    app.check(&sid);
    assert_eq!(app.events(&sid)[0].last_activity, row.last_activity);
}

#[test]
fn a_session_found_expired_twice_leaves_one_event() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    app.check(&sid);
    assert_eq!(app.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_that_ends_again_leaves_another_event() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_eq!(app.event_kinds(&sid), ["closed", "idle_expired"]);
}

#[test]
fn truncate_leaves_an_event_for_every_session() {
    let database = own_database();
    let (mut app, sids) = (database.connect(), [new_sid(), new_sid(), new_sid()]);
    for sid in &sids {
        app.open(sid);
    }
    app.run("TRUNCATE session_timeout.session");
    assert_eq!(sids.map(|sid| app.events(&sid).len()), [1, 1, 1]);
}
