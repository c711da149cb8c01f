//! Session ids: NULL, empty, over-long, and secret.

use session_timeout_tests::error_of;
use session_timeout_tests::postgres::types::ToSql;

use crate::support::{SessionCalls, app, hex_digest, new_sid};

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
