//! Functions: arguments, results, properties.

use super::texts;
use crate::support::{SessionCalls, app, new_sid};

#[test]
fn every_function_has_the_documented_arguments_and_result() {
    let mut app = app();
    for (name, expected) in [
        (
            "open_session",
            "(sid text, user_name text DEFAULT NULL::text, idle_delay interval DEFAULT NULL::interval, \
             absolute_delay interval DEFAULT NULL::interval) void",
        ),
        ("check_session", "(sid text, url text DEFAULT NULL::text) boolean"),
        (
            "session_verdict",
            "(sid text, url text DEFAULT NULL::text) session_timeout.verdict",
        ),
        ("peek_session", "(sid text) session_timeout.verdict"),
        ("close_session", "(sid text) boolean"),
        (
            "close_user_sessions",
            "(user_name text, except_sid text DEFAULT NULL::text) bigint",
        ),
        ("rotate_session", "(old_sid text, new_sid text) boolean"),
        ("purge_sessions", "() bigint"),
        ("flush_sessions", "() bigint"),
        ("get_param", "(key text, default_value text DEFAULT NULL::text) text"),
        ("set_param", "(key text, value text) text"),
        ("session_digest", "(sid text) bytea"),
    ] {
        let signatures = texts(
            &mut app,
            "SELECT '(' || pg_get_function_arguments(oid) || ') ' || pg_get_function_result(oid) FROM pg_proc \
             WHERE pronamespace = 'session_timeout'::regnamespace AND proname = $1",
            &[&name],
        );
        assert_eq!(signatures, [expected], "{name}");
    }
}

/// Those of the schema's functions, except `session_digest`, for which a condition on `pg_proc` does not hold.
#[track_caller]
fn functions_without(condition: &str) -> Vec<String> {
    texts(
        &mut app(),
        &format!(
            "SELECT proname::text FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace \
             AND proname <> 'session_digest' AND NOT ({condition})"
        ),
        &[],
    )
}

#[test]
fn every_function_that_sees_sessions_is_volatile() {
    assert_eq!(functions_without("provolatile = 'v'"), [""; 0]);
}

#[test]
fn every_function_that_sees_sessions_is_parallel_unsafe() {
    assert_eq!(functions_without("proparallel = 'u'"), [""; 0]);
}

#[test]
fn no_function_runs_with_its_owners_rights() {
    assert_eq!(functions_without("NOT prosecdef"), [""; 0]);
}

#[test]
fn no_function_sets_configuration() {
    assert_eq!(functions_without("proconfig IS NULL"), [""; 0]);
}

#[test]
fn session_digest_is_immutable_so_that_it_can_be_joined_with() {
    let volatility: String = app().value(
        "SELECT provolatile::text FROM pg_proc WHERE oid = 'session_timeout.session_digest(text)'::regprocedure",
        &[],
    );
    assert_eq!(volatility, "i");
}

#[test]
fn a_session_is_found_by_its_digest() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    let user: String = app.value(
        "SELECT s.user_name FROM (VALUES ($1)) AS login (sid) \
         JOIN session_timeout.session AS s ON s.digest = session_timeout.session_digest(login.sid)",
        &[&sid],
    );
    assert_eq!(user, "somebody");
}

#[test]
fn arguments_can_be_named() {
    let (mut app, sid) = (app(), new_sid());
    app.run(&format!(
        "SELECT session_timeout.open_session(sid => '{sid}', absolute_delay => '1 hour', user_name => 'somebody')"
    ));
    let row = app.stored(&sid).expect("a row");
    assert_eq!(row.user_name.as_deref(), Some("somebody"));
    assert_eq!(row.absolute_delay.as_deref(), Some("01:00:00"));
}
