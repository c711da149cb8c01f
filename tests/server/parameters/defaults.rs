//! Defaults: the seeded rows, and what counts without them.

use session_timeout_tests::param;

use super::without_rows;
use crate::support::{DELAY, SessionCalls, app};

#[test]
fn the_install_script_writes_every_parameters_default() {
    let mut app = app();
    let rows = app.query(
        "SELECT key, value FROM session_timeout.config_parameter ORDER BY id",
        &[],
    );
    let rows: Vec<(String, String)> = rows
        .expect("the parameters")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(
        rows,
        param::DEFAULTS.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[test]
fn without_a_row_the_delay_is_two_hours() {
    let (_database, mut app, sid) = without_rows();
    assert_eq!(app.peek(&sid).idle_limit(), Some(DELAY));
}

#[test]
fn without_a_row_the_default_urls_are_ignored() {
    let (_database, mut app, sid) = without_rows();
    assert_eq!(app.verdict_url(&sid, "/longpolling/im_status").status, "ignored");
}

#[test]
fn without_a_row_the_mode_is_skip_check() {
    let (_database, mut app, sid) = without_rows();
    app.has_been_idle(&sid, "3 hours");
    assert!(app.check_url(&sid, "/websocket"));
}

#[test]
fn without_a_row_there_is_no_absolute_delay() {
    let (_database, mut app, sid) = without_rows();
    app.was_opened_ago(&sid, "20 years");
    assert!(app.check(&sid));
}

#[test]
fn without_a_row_the_warning_comes_five_minutes_before_the_end() {
    let (_database, mut app, sid) = without_rows();
    app.has_been_idle(&sid, "114 minutes");
    assert!(!app.peek(&sid).warn);
    app.has_been_idle(&sid, "116 minutes");
    assert!(app.peek(&sid).warn);
}

#[test]
fn without_a_row_events_are_kept_for_thirty_days() {
    let (_database, mut app, sid) = without_rows();
    app.close_sid(&sid);
    for (days, kept) in [(29, 1), (31, 0)] {
        app.run(&format!(
            "UPDATE session_timeout.session_event SET at = clock_timestamp() - interval '{days} days'"
        ));
        app.purge();
        assert_eq!(app.events(&sid).len(), kept, "after {days} days");
    }
}

#[test]
fn setting_a_value_to_its_default_says_the_same_as_no_row() {
    let (_database, mut app, sid) = without_rows();
    let before = app.peek(&sid);
    app.set_param(param::DELAY, Some("7200"));
    assert_eq!(app.peek(&sid).expires_at, before.expires_at);
}
