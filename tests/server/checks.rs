//! What a check answers, and what it leaves behind.

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::types::ToSql;
use session_timeout_tests::{error_of, param};

use crate::in_flight::InFlight;
use crate::support::{
    DELAY, ISOLATION_LEVELS, SessionCalls, app, assert_about, assert_just_now, hex_digest, new_sid, own_database,
    unique,
};

/// A url of the default list of ignored ones.
const IGNORED: &str = "/longpolling/poll";

// ---- 1. A session that is not open ----------------------------------------------------------------------------------

#[test]
fn a_session_never_opened_is_not_valid() {
    assert!(!app().check(&new_sid()));
}

#[test]
fn a_session_never_opened_is_unknown() {
    let verdict = app().verdict(&new_sid());
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "unknown");
}

#[test]
fn of_an_unknown_session_a_verdict_says_nothing_more() {
    let verdict = app().verdict(&new_sid());
    assert_eq!(
        (verdict.user_name, verdict.opened_at, verdict.last_activity),
        (None, None, None)
    );
    assert_eq!(
        (verdict.expires_at, verdict.expires_in, verdict.warn),
        (None, None, false)
    );
}

#[test]
fn an_open_session_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn a_session_open_under_another_sid_lets_nobody_else_in() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(!app.check(&sid.to_uppercase()));
}

#[test]
fn a_closed_session_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert!(!app.check(&sid));
}

#[test]
fn a_revoked_session_is_not_valid() {
    let (mut app, sid, user) = (app(), new_sid(), unique("user"));
    app.open_as(&sid, &user);
    app.close_user(&user);
    assert!(!app.check(&sid));
}

#[test]
fn a_closed_session_is_soon_unknown() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert_eq!(app.verdict(&sid).status, "unknown");
}

// ---- NULL, empty and over-long session ids ---------------------------------------------------------------------------

/// The calls with a sid in `$1` that answer whether it is valid or was open.
const CALLS_OF_A_SID: [&str; 6] = [
    "SELECT session_timeout.check_session($1)",
    "SELECT (session_timeout.session_verdict($1)).valid",
    "SELECT (session_timeout.peek_session($1)).valid",
    "SELECT session_timeout.close_session($1)",
    "SELECT session_timeout.rotate_session($1, 'never opened, new')",
    "SELECT session_timeout.rotate_session('never opened, old', $1)",
];

#[test]
fn a_null_sid_is_false_in_every_function() {
    let mut app = app();
    for call in CALLS_OF_A_SID {
        assert!(!app.value::<bool>(call, &[&None::<&str>]), "{call}");
    }
}

#[test]
fn an_empty_sid_is_false_in_every_function() {
    let mut app = app();
    for call in CALLS_OF_A_SID {
        assert!(!app.value::<bool>(call, &[&""]), "{call}");
    }
}

#[test]
fn an_open_session_cannot_be_rotated_to_a_null_or_empty_sid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    for new in [None, Some("")] {
        let rotated: bool = app.value("SELECT session_timeout.rotate_session($1, $2)", &[&sid, &new]);
        assert!(!rotated, "{new:?}");
    }
    assert!(app.check(&sid), "it is open as before");
}

#[test]
fn a_null_or_empty_sid_is_unknown() {
    let mut app = app();
    for call in ["session_verdict", "peek_session"] {
        for sid in [None, Some("")] {
            let status: String = app.value(&format!("SELECT status FROM session_timeout.{call}($1)"), &[&sid]);
            assert_eq!(status, "unknown", "{call}({sid:?})");
        }
    }
}

#[test]
fn a_session_cannot_be_opened_under_a_null_or_empty_sid() {
    let mut app = app();
    for sid in [None, Some("")] {
        let error = error_of(app.execute("SELECT session_timeout.open_session($1)", &[&sid]));
        assert_eq!(error.sqlstate, "22023", "{sid:?}");
        assert!(error.hint.contains("1 to 1024 bytes"), "{error}");
    }
}

/// Every function that takes a session id, with it in `$1`.
const ALL_CALLS_WITH_A_SID: [&str; 9] = [
    "SELECT session_timeout.check_session($1)",
    "SELECT session_timeout.session_verdict($1)",
    "SELECT session_timeout.peek_session($1)",
    "SELECT session_timeout.session_digest($1)",
    "SELECT session_timeout.open_session($1)",
    "SELECT session_timeout.close_session($1)",
    "SELECT session_timeout.close_user_sessions('nobody', $1)",
    "SELECT session_timeout.rotate_session($1, 'a new sid')",
    "SELECT session_timeout.rotate_session('an old sid', $1)",
];

#[test]
fn a_sid_over_1024_bytes_is_refused_by_every_function() {
    let mut app = app();
    let sid = "x".repeat(1025);
    for call in ALL_CALLS_WITH_A_SID {
        let error = error_of(app.execute(call, &[&sid]));
        assert_eq!(error.sqlstate, "22023", "{call}");
        assert!(error.hint.contains("1 to 1024 bytes"), "{call}: {error}");
    }
}

#[test]
fn the_length_of_a_sid_is_counted_in_bytes() {
    let mut app = app();
    let error = error_of(app.execute("SELECT session_timeout.check_session($1)", &[&"\u{e9}".repeat(513)]));
    assert_eq!(error.sqlstate, "22023");
}

#[test]
fn the_error_does_not_show_an_over_long_sid() {
    let mut app = app();
    for call in ALL_CALLS_WITH_A_SID {
        let error = error_of(app.execute(call, &[&"SECRET".repeat(200)]));
        assert!(!error.to_string().contains("SECRET"), "{call}: {error}");
    }
}

#[test]
fn a_sid_of_1024_bytes_is_accepted_by_every_function() {
    let mut app = app();
    let sid = "y".repeat(1024);
    for call in ALL_CALLS_WITH_A_SID {
        app.write(call, &[&sid]);
    }
}

#[test]
fn a_sid_of_1024_bytes_opens_a_session() {
    let mut app = app();
    let sid = format!("{}{}", "\u{e9}".repeat(500), "z".repeat(24));
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn two_long_sids_that_differ_in_the_last_byte_are_two() {
    let mut app = app();
    let long = "w".repeat(1023);
    app.open(&format!("{long}1"));
    assert!(!app.check(&format!("{long}2")));
}

// ---- 2. The absolute delay -------------------------------------------------------------------------------------------

#[test]
fn a_session_older_than_its_absolute_delay_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    assert!(!app.check(&sid));
}

#[test]
fn a_session_younger_than_its_absolute_delay_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "59 minutes");
    assert!(app.check(&sid));
}

#[test]
fn the_absolute_delay_counts_on_ignored_urls_too() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    assert!(!app.check_url(&sid, IGNORED));
}

#[test]
fn without_an_absolute_delay_age_is_no_matter() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "20 years");
    assert!(app.check(&sid));
}

#[test]
fn the_absolute_delay_is_looked_at_before_the_idle_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, Some("1 hour"), Some("1 hour"));
    app.was_opened_ago(&sid, "61 minutes");
    app.has_been_idle(&sid, "61 minutes");
    assert_eq!(app.verdict(&sid).status, "absolute_expired");
}

// ---- 3. Ignored urls: see also ignored_urls --------------------------------------------------------------------------

#[test]
fn under_skip_check_the_delay_is_not_evaluated_on_an_ignored_url() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(app.check_url(&sid, IGNORED));
}

#[test]
fn under_skip_check_polling_does_not_save_an_idle_session_from_its_next_counting_request() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check_url(&sid, IGNORED);
    assert!(!app.check(&sid));
}

#[test]
fn under_no_refresh_the_delay_is_evaluated_on_an_ignored_url() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.check_url(&sid, IGNORED));
}

#[test]
fn under_no_refresh_an_ignored_url_is_valid_before_the_deadline() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "119 minutes");
    assert_eq!(app.verdict_url(&sid, IGNORED).status, "ignored");
}

#[test]
fn under_no_refresh_an_ignored_url_does_not_touch() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL_MODE, "no_refresh")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.check_url(&sid, IGNORED);
    assert_eq!(app.stored(&sid), before);
}

// ---- 4. The delay ----------------------------------------------------------------------------------------------------

#[test]
fn a_session_idle_for_longer_than_the_delay_is_not_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7200.1 seconds");
    assert!(!app.check(&sid));
}

#[test]
fn a_session_idle_for_less_than_the_delay_is_valid() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "7170 seconds");
    assert!(app.check(&sid));
}

#[test]
fn a_delay_of_zero_or_less_switches_the_idle_limit_off() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    for delay in ["0", "-1", "-2 hours"] {
        database.set_params(&[(param::DELAY, delay)]);
        app.open(&sid);
        app.has_been_idle(&sid, "20 years");
        assert!(app.check(&sid), "{delay}");
    }
}

#[test]
fn now_is_the_wall_clock_and_not_the_transactions_start() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open_limited(&sid, Some("50 milliseconds"), None);
    app.run("SELECT pg_sleep(0.1)");
    assert!(!app.check(&sid));
}

#[test]
fn activity_in_the_future_counts_as_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    assert_about(app.peek(&sid).expires_in, DELAY);
}

#[test]
fn a_touch_takes_activity_back_from_the_future() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    app.check(&sid);
    let row = app.stored(&sid).expect("a row");
    assert_just_now(Some(row.last_activity));
}

#[test]
fn a_purge_takes_clocks_back_from_the_future() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "-3 days");
    app.was_opened_ago(&sid, "-2 days");
    let before = app.stored(&sid).expect("a row");
    assert_eq!(app.purge(), 0);
    let row = app.stored(&sid).expect("a row");
    assert_just_now(Some(row.last_activity));
    assert_just_now(Some(row.opened_at));
    assert!(row.version > before.version);
}

/// Activity that another has written meanwhile is later than the time when the check began, but not in the future.
#[test]
fn a_check_that_has_waited_moves_no_activity_back() {
    let database = own_database();
    let (app, mut other, sid) = (database.connect(), database.connect(), new_sid());
    other.open(&sid);
    other.has_been_idle(&sid, "10 minutes");
    other.run("BEGIN; LOCK TABLE session_timeout.session IN ACCESS EXCLUSIVE MODE");
    let checked = sid.clone();
    let checking = InFlight::start(app, move |client| client.check(&checked));
    checking.is_waiting(&mut database.connect());
    // More than a clock that is ahead is allowed.
    other.run("SELECT pg_sleep(1.1)");
    assert!(other.check(&sid));
    let touched = other.stored(&sid).expect("a row").last_activity;
    assert_just_now(Some(touched));
    other.run("COMMIT");
    assert!(checking.answer());
    assert_eq!(other.stored(&sid).expect("a row").last_activity, touched);
}

// ---- 5. The touch ----------------------------------------------------------------------------------------------------

#[test]
fn a_request_that_counts_moves_activity_to_now() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.check_url(&sid, "/web");
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn a_touch_changes_nothing_else() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid).expect("a row");
    app.check(&sid);
    let after = app.stored(&sid).expect("a row");
    assert_eq!((after.user_name, after.opened_at), (before.user_name, before.opened_at));
    assert_eq!(after.version, before.version, "a touch is no other opening");
}

#[test]
fn a_request_without_a_url_counts() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.value::<bool>("SELECT session_timeout.check_session($1, NULL)", &[&sid]);
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn a_request_with_an_empty_url_counts() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.check_url(&sid, "");
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn session_verdict_touches_as_check_session_does() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.verdict(&sid);
    assert_just_now(app.stored(&sid).map(|row| row.last_activity));
}

/// Whether a check after so long an idle time writes the row.
#[track_caller]
fn is_written(idle_delay: Option<&str>, idle: &str) -> bool {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, idle_delay, None);
    app.has_been_idle(&sid, idle);
    let before = app.stored(&sid);
    assert!(app.check(&sid));
    app.stored(&sid) != before
}

#[test]
fn without_preload_activity_younger_than_a_minute_is_left_as_it_is() {
    assert!(!is_written(None, "20 seconds"));
}

#[test]
fn without_preload_activity_older_than_a_minute_is_written() {
    assert!(is_written(None, "61 seconds"));
}

#[test]
fn without_preload_activity_younger_than_a_hundredth_of_the_delay_is_left_as_it_is() {
    assert!(!is_written(Some("5000 seconds"), "20 seconds"));
}

#[test]
fn without_preload_activity_older_than_a_hundredth_of_the_delay_is_written() {
    assert!(is_written(Some("5000 seconds"), "51 seconds"));
}

#[test]
fn a_check_with_nothing_to_write_takes_no_transaction_id() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.run("BEGIN");
    app.check(&sid);
    let xid: Option<String> = app.value("SELECT pg_current_xact_id_if_assigned()::text", &[]);
    assert_eq!(xid, None);
}

#[test]
fn a_check_in_the_statement_that_changes_the_session_does_not_fail() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let valid: bool = app.value(
        "WITH changed AS (UPDATE session_timeout.session SET user_name = 'another' \
                          WHERE digest = session_timeout.session_digest($1) RETURNING 1) \
         SELECT session_timeout.check_session($1) FROM changed",
        &[&sid],
    );
    assert!(valid);
}

// ---- Expiry ----------------------------------------------------------------------------------------------------------

#[test]
fn expired_is_final_also_when_the_delay_is_raised_later() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.check(&sid));
    database.set_params(&[(param::DELAY, "1 day")]);
    assert!(!app.check(&sid));
}

#[test]
fn an_expired_session_is_valid_again_once_it_is_opened_again() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn the_row_of_an_expired_session_is_deleted() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_eq!(app.stored(&sid), None);
}

#[test]
fn without_preload_an_expiry_shares_the_fate_of_its_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.run("BEGIN");
    assert!(!app.check(&sid));
    app.run("ROLLBACK");
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn without_preload_a_touch_shares_the_fate_of_its_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.run("BEGIN");
    app.check(&sid);
    app.run("ROLLBACK");
    assert_eq!(app.stored(&sid), before);
}

// ---- The verdict -----------------------------------------------------------------------------------------------------

#[test]
fn a_valid_session_is_active() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let verdict = app.verdict(&sid);
    assert!(verdict.valid);
    assert_eq!(verdict.status, "active");
}

#[test]
fn a_valid_session_on_an_ignored_url_is_ignored() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let verdict = app.verdict_url(&sid, IGNORED);
    assert!(verdict.valid);
    assert_eq!(verdict.status, "ignored");
}

#[test]
fn a_session_found_idle_for_too_long_is_idle_expired() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let verdict = app.verdict(&sid);
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "idle_expired");
}

#[test]
fn a_session_found_too_old_is_absolute_expired() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    let verdict = app.verdict(&sid);
    assert!(!verdict.valid);
    assert_eq!(verdict.status, "absolute_expired");
}

#[test]
fn an_expired_session_whose_row_is_gone_is_unknown() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.verdict(&sid);
    assert_eq!(app.verdict(&sid).status, "unknown");
}

#[test]
fn while_the_row_of_an_expired_session_is_there_every_check_says_which_limit_it_was() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.run("BEGIN READ ONLY");
    assert_eq!(app.verdict(&sid).status, "idle_expired");
    assert_eq!(app.verdict(&sid).status, "idle_expired");
}

#[test]
fn a_verdict_names_the_user() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "J\u{f6}rg O'Neill");
    assert_eq!(app.verdict(&sid).user_name.as_deref(), Some("J\u{f6}rg O'Neill"));
}

#[test]
fn the_verdict_that_expires_a_session_still_shows_whose_it_was() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.has_been_idle(&sid, "3 hours");
    assert_eq!(app.verdict(&sid).user_name.as_deref(), Some("somebody"));
}

#[test]
fn a_verdict_shows_both_clocks() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.was_opened_ago(&sid, "5 hours");
    app.has_been_idle(&sid, "20 seconds");
    let (verdict, row) = (app.verdict(&sid), app.stored(&sid).expect("a row"));
    assert_eq!(verdict.opened_at, Some(row.opened_at));
    assert_eq!(verdict.last_activity, Some(row.last_activity));
}

#[test]
fn after_a_touch_a_verdict_shows_the_new_activity() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let verdict = app.verdict(&sid);
    assert_eq!(verdict.last_activity, app.stored(&sid).map(|row| row.last_activity));
}

#[test]
fn after_a_touch_a_verdict_shows_the_new_end() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    assert_about(app.verdict(&sid).expires_in, DELAY);
}

#[test]
fn a_session_expires_when_the_delay_has_passed_since_its_last_activity() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn a_session_expires_when_its_absolute_delay_has_passed_where_that_is_sooner() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("3 hours"));
    app.was_opened_ago(&sid, "2 hours");
    assert_eq!(app.peek(&sid).absolute_limit(), Some(TimeDelta::hours(3)));
}

#[test]
fn expires_in_is_what_is_left_until_expires_at() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    assert_about(app.peek(&sid).expires_in, TimeDelta::hours(1));
}

#[test]
fn expires_in_of_an_expired_session_is_negative() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert_about(app.peek(&sid).expires_in, -TimeDelta::hours(1));
}

#[test]
fn with_no_limit_in_force_a_session_has_no_end() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let verdict = app.verdict(&sid);
    assert_eq!(
        (verdict.expires_at, verdict.expires_in, verdict.warn),
        (None, None, false)
    );
}

#[test]
fn warn_turns_true_five_minutes_before_the_end() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "116 minutes");
    assert!(app.verdict_url(&sid, IGNORED).warn);
}

#[test]
fn warn_is_false_until_then() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "114 minutes");
    assert!(!app.verdict_url(&sid, IGNORED).warn);
}

#[test]
fn a_touch_ends_the_warning() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "116 minutes");
    assert!(!app.verdict(&sid).warn);
}

#[test]
fn an_absolute_end_is_warned_of_too() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "56 minutes");
    assert!(app.verdict(&sid).warn);
}

#[test]
fn an_expired_session_is_not_warned() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.verdict(&sid).warn);
}

// ---- Peeking ---------------------------------------------------------------------------------------------------------

#[test]
fn a_peek_sees_a_valid_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let seen = app.peek(&sid);
    assert!(seen.valid);
    assert_eq!(seen.status, "active");
}

#[test]
fn a_peek_never_touches() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.peek(&sid);
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn a_peek_says_idle_expired_of_a_session_that_nobody_has_expired_yet() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let seen = app.peek(&sid);
    assert!(!seen.valid);
    assert_eq!(seen.status, "idle_expired");
}

#[test]
fn a_peek_says_absolute_expired_of_a_session_that_nobody_has_expired_yet() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    assert_eq!(app.peek(&sid).status, "absolute_expired");
}

#[test]
fn a_peek_expires_nothing() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.peek(&sid);
    assert_eq!(app.stored(&sid), before);
    assert_eq!(app.events(&sid), []);
}

#[test]
fn what_only_a_peek_has_seen_expired_a_higher_limit_can_save() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.peek(&sid);
    database.set_params(&[(param::DELAY, "1 day")]);
    assert!(app.check(&sid));
}

// ---- What a check reads ----------------------------------------------------------------------------------------------

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

/// How many predicate locks the connection holds.
fn predicate_locks(of: &mut impl SessionCalls) -> i64 {
    let pid: i32 = of.value("SELECT pg_backend_pid()", &[]);
    app().value(
        "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = $1",
        &[&pid],
    )
}

/// Runs `call`, with a sid in `$1`, in a SERIALIZABLE transaction: how many predicate locks that takes.
fn predicate_locks_of(call: &str, idle: &str) -> i64 {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, idle);
    app.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    app.write(call, &[&sid]);
    predicate_locks(&mut app)
}

#[test]
fn a_check_takes_no_predicate_locks() {
    for (found, idle) in [
        ("valid", "1 second"),
        ("to be touched", "1 hour"),
        ("expired", "3 hours"),
    ] {
        for call in ["check_session", "session_verdict", "peek_session"] {
            let locks = predicate_locks_of(&format!("SELECT session_timeout.{call}($1)"), idle);
            assert_eq!(locks, 0, "{call}, {found}");
        }
    }
}

#[test]
fn a_plain_query_takes_predicate_locks_as_a_check_does_not() {
    let query = "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";
    assert_ne!(predicate_locks_of(query, "1 second"), 0);
}

#[test]
fn a_check_within_a_parallel_worker_answers() {
    let database = own_database();
    let (mut app, open, expired) = (database.connect(), new_sid(), new_sid());
    app.open(&open);
    app.has_been_idle(&open, "1 hour");
    app.open(&expired);
    app.has_been_idle(&expired, "3 hours");
    app.run(
        "CREATE FUNCTION mislabelled(sid text) RETURNS text LANGUAGE sql PARALLEL SAFE AS \
         'SELECT pg_backend_pid() || '' '' || session_timeout.check_session(sid)'",
    );
    let setting: &str = match app.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) {
        ..160_000 => "force_parallel_mode",
        _ => "debug_parallel_query",
    };
    app.run(&format!("SET {setting} = on"));
    let pid: i32 = app.value("SELECT pg_backend_pid()", &[]);
    for (sid, expected) in [(&open, "true"), (&expired, "false")] {
        let seen: String = app.value("SELECT mislabelled($1)", &[sid]);
        let (worker, answer) = seen.split_once(' ').expect("two words");
        assert_ne!(worker, pid.to_string(), "it ran in a worker");
        assert_eq!(answer, expected);
    }
}

// ---- Session ids are secrets -----------------------------------------------------------------------------------------

#[test]
fn session_digest_is_sha256_of_the_bytes() {
    let mut app = app();
    for sid in ["", "abc", "J\u{f6}rg \u{1f511}"] {
        let hex: String = app.value("SELECT encode(session_timeout.session_digest($1), 'hex')", &[&sid]);
        assert_eq!(hex, hex_digest(sid), "{sid:?}");
    }
}

#[test]
fn session_digest_of_null_is_null() {
    let digest: Option<Vec<u8>> = app().value("SELECT session_timeout.session_digest(NULL)", &[]);
    assert_eq!(digest, None);
}

#[test]
fn no_table_or_view_shows_a_sid() {
    let (mut app, open, closed) = (app(), new_sid(), new_sid());
    app.open(&open);
    app.open(&closed);
    app.close_sid(&closed);
    for sid in [open, closed] {
        let pattern: &(dyn ToSql + Sync) = &format!("%{sid}%");
        for table in ["session", "session_event", "config_parameter", "active_session"] {
            let sql = format!("SELECT count(*) FROM session_timeout.{table} AS t WHERE t::text LIKE $1");
            assert_eq!(app.value::<i64>(&sql, &[pattern]), 0, "{table}");
        }
    }
}
