//! A session's life: opening, re-authentication, rotation, closing, purging, and what is written to its row by hand.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{error_of, param};

use crate::support::{DELAY, SessionCalls, Stored, app, assert_just_now, new_sid, own_database, unique};

/// An open session of a user, half an hour old, idle for a quarter of one, with limits of its own.
fn used_session(app: &mut Client) -> (String, String) {
    let (sid, user) = (new_sid(), unique("user"));
    app.write(
        "SELECT session_timeout.open_session($1, $2, '1 hour', '10 hours')",
        &[&sid, &user],
    );
    app.was_opened_ago(&sid, "30 minutes");
    app.has_been_idle(&sid, "15 minutes");
    (sid, user)
}

/// The row of a session that is open.
#[track_caller]
fn row(app: &mut Client, sid: &str) -> Stored {
    app.stored(sid).expect("the session has a row")
}

// ---- Opening ---------------------------------------------------------------------------------------------------------

#[test]
fn a_new_session_is_opened_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_just_now(app.peek(&sid).opened_at);
}

#[test]
fn a_new_session_was_active_when_it_was_opened() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let row = row(&mut app, &sid);
    assert_eq!(row.last_activity, row.opened_at);
}

#[test]
fn a_session_may_have_no_user() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(row(&mut app, &sid).user_name, None);
}

#[test]
fn a_user_name_may_have_1024_bytes() {
    let (mut app, sid) = (app(), new_sid());
    let name = "\u{e9}".repeat(512);
    app.open_as(&sid, &name);
    assert_eq!(app.verdict(&sid).user_name, Some(name));
}

#[test]
fn a_user_name_over_1024_bytes_is_refused() {
    let (mut app, sid) = (app(), new_sid());
    for name in ["x".repeat(1025), "\u{e9}".repeat(513)] {
        let error = error_of(app.execute("SELECT session_timeout.open_session($1, $2)", &[&sid, &name]));
        assert_eq!(error.sqlstate, "22023");
        assert!(error.hint.contains("at most 1024 bytes"), "{error}");
        assert_eq!(app.stored(&sid), None, "nothing is left behind");
    }
}

#[test]
fn a_user_name_over_1024_bytes_is_refused_by_close_user_sessions() {
    let name = "x".repeat(1025);
    let error = error_of(app().execute("SELECT session_timeout.close_user_sessions($1)", &[&name]));
    assert_eq!(error.sqlstate, "22023");
    assert!(error.hint.contains("at most 1024 bytes"), "{error}");
}

// ---- A session's own limits ------------------------------------------------------------------------------------------

#[test]
fn an_own_idle_delay_shortens_the_parameters() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("10 minutes"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::minutes(10)));
}

#[test]
fn an_own_idle_delay_cannot_lengthen_the_parameters() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn an_own_idle_delay_counts_where_the_parameter_is_off() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, Some("1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::days(1)));
}

#[test]
fn an_own_absolute_delay_shortens_the_parameters() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, None, Some("10 minutes"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(10)));
}

#[test]
fn an_own_absolute_delay_cannot_lengthen_the_parameters() {
    let database = own_database();
    database.set_params(&[(param::ABSOLUTE_DELAY, "1 hour")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, None, Some("1 day"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::hours(1)));
}

#[test]
fn an_own_absolute_delay_counts_where_the_parameter_is_off() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("30 minutes"));
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(30)));
}

#[test]
fn an_own_limit_of_a_month_is_thirty_days() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open_limited(&sid, Some("1 month 1 day"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::days(31)));
}

#[test]
fn an_own_limit_that_is_not_positive_is_refused() {
    let mut app = app();
    for limit in [
        "0",
        "-1 second",
        "-1 microsecond",
        "1 month -30 days",
        "1 day -25 hours",
        "-178000000 years",
    ] {
        for (idle, absolute, argument) in [(Some(limit), None, "idle_delay"), (None, Some(limit), "absolute_delay")] {
            let sid = new_sid();
            let error = error_of(app.execute(
                "SELECT session_timeout.open_session($1, NULL, $2::text::interval, $3::text::interval)",
                &[&sid, &idle, &absolute],
            ));
            assert_eq!(error.sqlstate, "22023", "{argument} {limit}");
            assert!(error.message.contains(argument), "{error}");
            assert!(!error.hint.is_empty(), "{error}");
            assert_eq!(app.stored(&sid), None, "nothing is left behind");
        }
    }
}

#[test]
fn the_smallest_positive_limit_is_accepted() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 month -29 days -23:59:59.999999"), None);
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::microseconds(1)));
}

#[test]
fn a_limit_beyond_all_time_never_ends() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let mut app = database.connect();
    let mut limits = vec!["178000000 years"];
    if app.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) >= 170_000 {
        limits.push("infinity");
    }
    for limit in limits {
        let sid = new_sid();
        app.open_limited(&sid, Some(limit), Some(limit));
        app.was_opened_ago(&sid, "100 years");
        app.has_been_idle(&sid, "100 years");
        assert!(app.check(&sid), "{limit}");
    }
}

// ---- Re-authentication -----------------------------------------------------------------------------------------------

#[test]
fn opening_an_open_session_again_restarts_its_age() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).opened_at);
}

#[test]
fn opening_an_open_session_again_restarts_its_idle_time() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_just_now(app.peek(&sid).last_activity);
}

#[test]
fn opening_an_open_session_again_replaces_the_user() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open_as(&sid, "another");
    assert_eq!(app.peek(&sid).user_name.as_deref(), Some("another"));
}

#[test]
fn opening_an_open_session_again_without_a_user_leaves_it_without_one() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.peek(&sid).user_name, None);
}

#[test]
fn opening_an_open_session_again_replaces_its_limits() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open_limited(&sid, Some("5 minutes"), None);
    let row = row(&mut app, &sid);
    assert_eq!(
        (row.idle_delay.as_deref(), row.absolute_delay),
        (Some("00:05:00"), None)
    );
}

#[test]
fn opening_an_open_session_again_gives_it_a_new_version() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    let before = row(&mut app, &sid).version;
    app.open(&sid);
    assert!(row(&mut app, &sid).version > before);
}

#[test]
fn opening_an_open_session_again_ends_none() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.open(&sid);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn opening_an_idle_expired_session_again_writes_the_old_ones_event() {
    let mut app = app();
    let (sid, user) = used_session(&mut app);
    app.has_been_idle(&sid, "3 hours");
    let old = row(&mut app, &sid);
    app.open_as(&sid, "another");
    let events = app.events(&sid);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "idle_expired");
    assert_eq!(events[0].user_name, Some(user));
    assert_eq!(events[0].last_activity, old.last_activity);
}

#[test]
fn opening_an_absolute_expired_session_again_writes_the_old_ones_event() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.was_opened_ago(&sid, "11 hours");
    app.open(&sid);
    assert_eq!(app.event_kinds(&sid), ["absolute_expired"]);
}

#[test]
fn opening_an_expired_session_again_opens_it() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    app.has_been_idle(&sid, "3 hours");
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn a_session_closed_and_opened_again_has_a_new_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    app.close_sid(&sid);
    app.open(&sid);
    assert!(row(&mut app, &sid).version > before);
}

// ---- Rotation --------------------------------------------------------------------------------------------------------

#[test]
fn a_rotated_session_is_valid_under_its_new_sid() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    assert!(app.rotate(&old, &new));
    assert!(app.check(&new));
}

#[test]
fn a_rotated_session_is_unknown_under_its_old_sid() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.verdict(&old).status, "unknown");
}

#[test]
fn rotation_keeps_both_clocks() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    let before = row(&mut app, &old);
    app.rotate(&old, &new);
    let after = row(&mut app, &new);
    assert_eq!(after.opened_at, before.opened_at);
    assert_eq!(after.last_activity, before.last_activity);
}

#[test]
fn rotation_keeps_the_user() {
    let (mut app, new) = (app(), new_sid());
    let (old, user) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.peek(&new).user_name, Some(user));
}

#[test]
fn rotation_keeps_the_sessions_own_limits() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    let row = row(&mut app, &new);
    assert_eq!(row.idle_delay.as_deref(), Some("01:00:00"));
    assert_eq!(row.absolute_delay.as_deref(), Some("10:00:00"));
}

#[test]
fn rotation_gives_a_new_version() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    let before = row(&mut app, &old).version;
    app.rotate(&old, &new);
    assert!(row(&mut app, &new).version > before);
}

#[test]
fn rotation_writes_no_event() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!((app.events(&old), app.events(&new)), (vec![], vec![]));
}

#[test]
fn a_sid_that_is_not_open_cannot_be_rotated() {
    let (mut app, old, new) = (app(), new_sid(), new_sid());
    assert!(!app.rotate(&old, &new));
    assert!(!app.check(&new), "it opens nothing");
}

#[test]
fn an_expired_session_cannot_be_rotated() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.has_been_idle(&old, "2 hours");
    assert!(!app.rotate(&old, &new));
    assert!(!app.check(&new), "it opens nothing");
}

#[test]
fn an_expired_session_that_a_rotation_finds_is_expired() {
    let (mut app, new) = (app(), new_sid());
    let (old, _) = used_session(&mut app);
    app.has_been_idle(&old, "2 hours");
    app.rotate(&old, &new);
    assert_eq!(app.event_kinds(&old), ["idle_expired"]);
}

#[test]
fn a_session_cannot_be_rotated_onto_an_open_one() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    let error = error_of(app.execute("SELECT session_timeout.rotate_session($1, $2)", &[&old, &new]));
    assert_eq!(error.sqlstate, "23505");
    assert!(!error.hint.is_empty(), "{error}");
}

#[test]
fn a_refused_rotation_leaves_both_sessions_as_they_were() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    let before = (app.stored(&old), app.stored(&new));
    error_of(app.execute("SELECT session_timeout.rotate_session($1, $2)", &[&old, &new]));
    assert_eq!((app.stored(&old), app.stored(&new)), before);
}

#[test]
fn a_session_cannot_be_rotated_onto_itself() {
    let mut app = app();
    let (sid, _) = used_session(&mut app);
    let error = error_of(app.execute("SELECT session_timeout.rotate_session($1, $1)", &[&sid]));
    assert_eq!(error.sqlstate, "23505");
}

#[test]
fn a_session_can_be_rotated_onto_an_expired_one() {
    let mut app = app();
    let ((old, user), (new, _)) = (used_session(&mut app), used_session(&mut app));
    app.has_been_idle(&new, "2 hours");
    assert!(app.rotate(&old, &new));
    assert_eq!(app.verdict(&new).user_name, Some(user));
}

#[test]
fn an_expired_session_that_another_is_rotated_onto_is_expired() {
    let mut app = app();
    let ((old, _), (new, _)) = (used_session(&mut app), used_session(&mut app));
    app.has_been_idle(&new, "2 hours");
    app.rotate(&old, &new);
    assert_eq!(app.event_kinds(&new), ["idle_expired"]);
}

#[test]
fn a_session_can_be_rotated_onto_a_sid_that_was_closed() {
    let (mut app, closed) = (app(), new_sid());
    app.open(&closed);
    app.close_sid(&closed);
    let (old, _) = used_session(&mut app);
    assert!(app.rotate(&old, &closed));
}

#[test]
fn a_session_can_be_rotated_again_and_back() {
    let (mut app, second) = (app(), new_sid());
    let (first, _) = used_session(&mut app);
    assert!(app.rotate(&first, &second));
    assert!(app.rotate(&second, &first));
    assert!(app.check(&first));
}

// ---- Closing ---------------------------------------------------------------------------------------------------------

#[test]
fn closing_answers_true_only_once() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.close_sid(&sid));
    assert!(!app.close_sid(&sid));
}

#[test]
fn closing_what_was_never_opened_answers_false() {
    assert!(!app().close_sid(&new_sid()));
}

#[test]
fn closing_a_session_leaves_others_open() {
    let (mut app, sid, other) = (app(), new_sid(), new_sid());
    app.open(&sid);
    app.open(&other);
    app.close_sid(&sid);
    assert!(app.check(&other));
}

#[test]
fn a_session_past_its_deadline_that_nobody_has_expired_can_be_closed() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(app.close_sid(&sid));
}

#[test]
fn closing_a_session_that_was_found_expired_answers_false() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert!(!app.close_sid(&sid));
}

#[test]
fn close_user_sessions_closes_all_of_a_user() {
    let (mut app, user) = (app(), unique("user"));
    let sids = [new_sid(), new_sid(), new_sid()];
    for sid in &sids {
        app.open_as(sid, &user);
    }
    app.close_user(&user);
    assert_eq!(sids.map(|sid| app.check(&sid)), [false; 3]);
}

#[test]
fn close_user_sessions_answers_how_many_it_closed() {
    let (mut app, user) = (app(), unique("user"));
    for _ in 0..3 {
        app.open_as(&new_sid(), &user);
    }
    assert_eq!(app.close_user(&user), 3);
    assert_eq!(app.close_user(&user), 0);
}

#[test]
fn close_user_sessions_leaves_those_of_others() {
    let (mut app, user) = (app(), unique("user"));
    let (upper, none) = (new_sid(), new_sid());
    app.open_as(&upper, &user.to_uppercase());
    app.open(&none);
    app.close_user(&user);
    assert!(app.check(&upper), "another name");
    assert!(app.check(&none), "no name");
}

#[test]
fn close_user_sessions_spares_the_session_excepted() {
    let (mut app, user, spared, other) = (app(), unique("user"), new_sid(), new_sid());
    app.open_as(&spared, &user);
    app.open_as(&other, &user);
    let closed: i64 = app.value("SELECT session_timeout.close_user_sessions($1, $2)", &[&user, &spared]);
    assert_eq!(closed, 1);
    assert!(app.check(&spared));
    assert!(!app.check(&other));
}

#[test]
fn close_user_sessions_excepting_no_session_of_that_user_closes_all() {
    let (mut app, user) = (app(), unique("user"));
    for except in [None, Some(""), Some("never opened")] {
        app.open_as(&new_sid(), &user);
        let closed: i64 = app.value("SELECT session_timeout.close_user_sessions($1, $2)", &[&user, &except]);
        assert_eq!(closed, 1, "{except:?}");
    }
}

#[test]
fn close_user_sessions_without_a_user_closes_none() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let closed: i64 = app.value("SELECT session_timeout.close_user_sessions(NULL)", &[]);
    assert_eq!(closed, 0);
    assert!(app.check(&sid));
}

#[test]
fn close_user_sessions_finds_a_session_by_the_user_it_was_last_opened_for() {
    let (mut app, first, second, sid) = (app(), unique("user"), unique("user"), new_sid());
    app.open_as(&sid, &first);
    app.open_as(&sid, &second);
    assert_eq!(app.close_user(&first), 0);
    assert_eq!(app.close_user(&second), 1);
}

#[test]
fn close_user_sessions_finds_a_rotated_session() {
    let (mut app, new) = (app(), new_sid());
    let (old, user) = used_session(&mut app);
    app.rotate(&old, &new);
    assert_eq!(app.close_user(&user), 1);
}

// ---- Purging ---------------------------------------------------------------------------------------------------------

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
fn without_preload_purging_ends_a_session_that_only_polls() {
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

// ---- By hand ---------------------------------------------------------------------------------------------------------

const INSERT: &str = "INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest($1))";
const DELETE: &str = "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";

/// Writes to the session's row: `UPDATE session SET …`.
#[track_caller]
fn update(app: &mut Client, sid: &str, set: &str) {
    let sql = format!("UPDATE session_timeout.session SET {set} WHERE digest = session_timeout.session_digest($1)");
    assert_eq!(app.write(&sql, &[&sid]), 1);
}

#[test]
fn a_row_inserted_by_hand_is_an_open_session() {
    let (mut app, sid) = (app(), new_sid());
    app.write(INSERT, &[&sid]);
    assert!(app.check(&sid));
}

#[test]
fn a_row_inserted_by_hand_is_opened_now_unless_it_says_otherwise() {
    let (mut app, sid) = (app(), new_sid());
    app.write(INSERT, &[&sid]);
    let row = row(&mut app, &sid);
    assert_just_now(Some(row.opened_at));
    assert_just_now(Some(row.last_activity));
}

#[test]
fn a_row_deleted_by_hand_is_a_closed_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.write(DELETE, &[&sid]);
    assert!(!app.check(&sid));
}

#[test]
fn truncate_closes_all_sessions() {
    let database = own_database();
    let (mut app, sids) = (database.connect(), [new_sid(), new_sid()]);
    for sid in &sids {
        app.open(sid);
    }
    app.run("TRUNCATE session_timeout.session");
    assert_eq!(sids.map(|sid| app.check(&sid)), [false; 2]);
}

#[test]
fn activity_set_backwards_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.check(&sid));
    update(&mut app, &sid, "last_activity = clock_timestamp() - interval '3 hours'");
    assert!(!app.check(&sid));
}

#[test]
fn activity_set_forward_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    update(&mut app, &sid, "last_activity = clock_timestamp()");
    assert!(app.check(&sid));
}

#[test]
fn activity_set_to_the_beginning_of_time_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "last_activity = '-infinity'");
    assert!(!app.check(&sid));
}

#[test]
fn activity_set_to_the_end_of_time_by_hand_does_not_fail_a_check() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "last_activity = 'infinity'");
    assert!(app.check(&sid));
}

#[test]
fn an_opening_set_by_hand_is_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    update(&mut app, &sid, "opened_at = clock_timestamp() - interval '2 hours'");
    assert!(!app.check(&sid));
}

#[test]
fn limits_set_by_hand_are_honoured() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    update(&mut app, &sid, "idle_delay = '5 minutes'");
    assert_eq!(app.peek(&sid).idle_limit(), Some(TimeDelta::minutes(5)));
    update(&mut app, &sid, "idle_delay = NULL, absolute_delay = '6 minutes'");
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::minutes(6)));
}

#[test]
fn a_user_set_by_hand_is_honoured() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open(&sid);
    app.write(
        "UPDATE session_timeout.session SET user_name = $2 WHERE digest = session_timeout.session_digest($1)",
        &[&sid, &user],
    );
    assert_eq!(app.close_user(&user), 1);
}

#[test]
fn a_digest_set_by_hand_moves_the_session() {
    let (mut app, old, new) = (app(), new_sid(), new_sid());
    app.open(&old);
    app.write(
        "UPDATE session_timeout.session SET digest = session_timeout.session_digest($2) \
         WHERE digest = session_timeout.session_digest($1)",
        &[&old, &new],
    );
    assert_eq!((app.check(&old), app.check(&new)), (false, true));
}

#[test]
fn rows_that_are_no_sessions_are_refused() {
    let mut app = app();
    for (columns, values) in [
        ("digest", "'too short'"),
        ("digest, idle_delay", "sha256('a'), '0'"),
        ("digest, idle_delay", "sha256('a'), '-1 second'"),
        ("digest, absolute_delay", "sha256('a'), '0'"),
        ("digest, user_name", "sha256('a'), repeat('x', 1025)"),
        ("digest, opened_at", "sha256('a'), 'infinity'"),
    ] {
        let sql = format!("INSERT INTO session_timeout.session ({columns}) VALUES ({values})");
        assert_eq!(error_of(app.execute(&sql, &[])).sqlstate, "23514", "{sql}");
    }
}

#[test]
fn a_second_row_for_a_digest_is_refused() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(error_of(app.execute(INSERT, &[&sid])).sqlstate, "23505");
}

// ---- Versions --------------------------------------------------------------------------------------------------------

#[test]
fn every_change_of_clocks_or_limits_by_hand_gives_a_new_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let mut before = row(&mut app, &sid).version;
    for set in [
        "last_activity = last_activity - interval '1 second'",
        "last_activity = last_activity + interval '1 second'",
        "opened_at = opened_at - interval '1 second'",
        "idle_delay = '1 hour'",
        "idle_delay = '2 hours'",
        "idle_delay = NULL",
        "absolute_delay = '1 hour'",
        "absolute_delay = NULL",
    ] {
        update(&mut app, &sid, set);
        let after = row(&mut app, &sid).version;
        assert!(after > before, "{set}");
        before = after;
    }
}

#[test]
fn other_changes_by_hand_keep_the_version() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    for set in [
        "user_name = 'another'",
        "last_activity = last_activity",
        "digest = digest",
    ] {
        update(&mut app, &sid, set);
        assert_eq!(row(&mut app, &sid).version, before, "{set}");
    }
}

#[test]
fn a_version_cannot_be_set_by_hand() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    update(&mut app, &sid, "version = version + 1000000");
    assert_eq!(row(&mut app, &sid).version, before);
}

#[test]
fn a_version_cannot_be_set_by_hand_together_with_a_clock() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let before = row(&mut app, &sid).version;
    update(
        &mut app,
        &sid,
        "version = version, last_activity = last_activity - interval '1 s'",
    );
    assert_ne!(row(&mut app, &sid).version, before);
}

#[test]
fn a_version_cannot_be_inserted_by_hand() {
    let (mut app, sid) = (app(), new_sid());
    app.write(
        "INSERT INTO session_timeout.session (digest, version) VALUES (session_timeout.session_digest($1), -7)",
        &[&sid],
    );
    assert!(row(&mut app, &sid).version > 0);
}

#[test]
fn rows_have_versions_of_their_own() {
    let (mut app, one, other) = (app(), new_sid(), new_sid());
    app.open(&one);
    app.write(INSERT, &[&other]);
    assert_ne!(row(&mut app, &one).version, row(&mut app, &other).version);
}

#[test]
fn replicated_rows_get_a_version_too() {
    let (mut app, sid) = (app(), new_sid());
    app.run("SET session_replication_role = replica");
    app.write(
        "INSERT INTO session_timeout.session (digest, version) VALUES (session_timeout.session_digest($1), -7)",
        &[&sid],
    );
    assert!(row(&mut app, &sid).version > 0);
}
