//! `active_session`: the sessions that are valid.

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, app, new_sid, open_expired, own_database};

/// Whether the view shows the session.
fn is_shown(app: &mut Client, sid: &str) -> bool {
    app.value(
        "SELECT count(*) = 1 FROM session_timeout.active_session WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    )
}

#[test]
fn active_session_shows_an_open_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(is_shown(&mut app, &sid));
}

#[test]
fn active_session_shows_what_a_peek_shows() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.was_opened_ago(&sid, "5 hours");
    app.has_been_idle(&sid, "1 hour");
    let same: bool = app.value(
        "SELECT (s.user_name, s.opened_at, s.last_activity, s.expires_at, s.warn) \
              = (v.user_name, v.opened_at, v.last_activity, v.expires_at, v.warn) \
            AND v.expires_in - s.expires_in BETWEEN interval '-30 s' AND interval '30 s' \
         FROM session_timeout.active_session AS s, session_timeout.peek_session($1) AS v \
         WHERE s.digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert!(same);
}

#[test]
fn active_session_warns_of_a_session_that_ends_soon() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "117 minutes");
    let sql = "SELECT warn FROM session_timeout.active_session WHERE digest = session_timeout.session_digest($1)";
    assert!(app.value::<bool>(sql, &[&sid]));
}

#[test]
fn active_session_does_not_show_a_session_past_its_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_does_not_show_a_session_past_its_absolute_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_does_not_show_a_closed_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_follows_the_parameters() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!is_shown(&mut app, &sid));
    database.set_params(&[(param::DELAY, "0")]);
    assert!(is_shown(&mut app, &sid));
}

#[test]
fn active_session_of_a_session_without_end_shows_none() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let sql = "SELECT expires_at IS NULL AND expires_in IS NULL AND NOT warn FROM session_timeout.active_session";
    assert!(app.value::<bool>(sql, &[]));
}

#[test]
fn looking_at_active_session_touches_and_expires_nothing() {
    let database = own_database();
    let (mut app, idle, expired) = (database.connect(), new_sid(), new_sid());
    app.open(&idle);
    app.has_been_idle(&idle, "1 hour");
    app.open(&expired);
    app.has_been_idle(&expired, "3 hours");
    let before = (app.stored(&idle), app.stored(&expired));
    app.run("SELECT * FROM session_timeout.active_session");
    assert_eq!((app.stored(&idle), app.stored(&expired)), before);
}

#[test]
fn active_session_shows_activity_that_is_only_in_memory() {
    let database = preloaded::database("active_merged", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    let row = client
        .query_one(
            "SELECT last_activity = $2 AND expires_at = $2 + interval '2 hours' FROM session_timeout.active_session \
             WHERE digest = session_timeout.session_digest($1)",
            &[&sid, &touched],
        )
        .expect("the session is active");
    assert!(row.get::<_, bool>(0));
}

#[test]
fn active_session_hides_a_session_that_was_found_expired() {
    let database = preloaded::database("active_marked", &QUIET);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    assert!(!client.check(&sid));
    client.set_param(param::DELAY, Some("1 day"));
    let sql = "SELECT count(*) FROM session_timeout.active_session";
    assert_eq!(client.value::<i64>(sql, &[]), 0);
    holder.run("ROLLBACK");
}
