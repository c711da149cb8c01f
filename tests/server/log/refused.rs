//! Calls and statements that are refused.

use super::{Provocation, assert_logged, database};
use crate::support::{InFlight, SessionCalls, outcome, unique};

#[test]
fn an_error_of_another_kind_shows_a_literal() {
    let mut provocation = Provocation::new();
    provocation.refused("22012", "SELECT 1 / 0, '{sid}'");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn an_error_of_another_kind_shows_a_parameter() {
    let mut provocation = Provocation::new();
    provocation.refused_with_parameter("22012", "SELECT 1 / (length($1::text) - length($1::text))", "{sid}");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn an_error_of_another_kind_shows_its_context() {
    let mut provocation = Provocation::new();
    provocation.refused("22012", "DO $$ BEGIN PERFORM 1 / (length('{sid}') * 0); END $$");
    assert!(!provocation.shown().is_empty(), "else these tests could not fail");
}

#[test]
fn a_too_long_session_id_is_not_shown_by_any_function() {
    let mut provocation = Provocation::new();
    for call in [
        "open_session('{long}')",
        "check_session('{long}')",
        "session_verdict('{long}')",
        "peek_session('{long}')",
        "close_session('{long}')",
        "close_user_sessions('user', '{long}')",
        "rotate_session('{long}', 'new')",
        "rotate_session('{sid}', '{long}')",
        "session_digest('{long}')",
    ] {
        provocation.refused("22023", &format!("SELECT session_timeout.{call}"));
    }
    provocation.is_not_shown_after("22023");
}

#[test]
fn a_too_long_session_id_is_not_shown_as_a_parameter() {
    let mut provocation = Provocation::new();
    for call in [
        "open_session($1)",
        "check_session($1)",
        "close_session($1)",
        "rotate_session('old', $1)",
    ] {
        provocation.refused_with_parameter("22023", &format!("SELECT session_timeout.{call}"), "{long}");
    }
    provocation.is_not_shown_after("22023");
}

#[test]
fn a_too_long_session_id_is_not_shown_to_the_client() {
    let mut provocation = Provocation::new();
    let sql = provocation.expand("SELECT session_timeout.open_session('{long}')");
    let error = session_timeout_tests::error_of(provocation.client.batch_execute(&sql));
    assert!(!error.to_string().contains(&provocation.sid), "{error}");
}

#[test]
fn a_refused_limit_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', 'user', '-1 hour')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', 'user', NULL, '0')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.open_session('{sid}', repeat('u', 1025))",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_rotation_to_an_open_session_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused("23505", "SELECT session_timeout.rotate_session('{sid}', '{sid}')")
        .refused_with_parameter("23505", "SELECT session_timeout.rotate_session($1, $1)", "{sid}")
        .is_not_shown_after("23505");
}

#[test]
fn a_rotation_that_another_rotation_overtakes_shows_no_session_id() {
    let mut first = Provocation::new();
    let second = Provocation::new();
    first.client.run("BEGIN");
    assert!(first.client.rotate(&first.sid.clone(), &format!("{}-new", first.sid)));
    let call = format!(
        "SELECT session_timeout.rotate_session('{}', '{}-new')",
        second.sid, first.sid
    );
    let rotating = InFlight::start(second.client, move |client| outcome(client.batch_execute(&call)));
    let pid = rotating.pid();
    rotating.is_waiting(&mut database().connect());
    assert_logged(pid, "still waiting");
    first.client.run("COMMIT");
    assert_eq!(rotating.answer(), Err("23505".to_owned()));
    assert_logged(pid, "23505:");
    assert_eq!(first.shown(), [] as [String; 0]);
}

#[test]
fn an_error_inside_a_block_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "DO $$ BEGIN PERFORM session_timeout.check_session('{long}'); END $$",
        )
        .refused(
            "23505",
            "DO $$ BEGIN PERFORM session_timeout.rotate_session('{sid}', '{sid}'); END $$",
        )
        .is_not_shown_after("23505");
}

#[test]
fn an_error_inside_a_function_shows_no_session_id() {
    let mut provocation = Provocation::new();
    let name = unique("login").replace('-', "_");
    provocation.client.run(&format!(
        "CREATE FUNCTION public.{name}(sid text) RETURNS void LANGUAGE plpgsql AS
             $$ BEGIN EXECUTE format('SELECT session_timeout.open_session(%L)', sid); END $$"
    ));
    provocation
        .refused("22023", &format!("SELECT public.{name}('{{long}}')"))
        .refused_with_parameter("22023", &format!("SELECT public.{name}($1)"), "{long}")
        .is_not_shown_after("22023");
}

#[test]
fn an_error_caught_and_raised_again_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "DO $$ BEGIN PERFORM session_timeout.check_session('{long}'); EXCEPTION WHEN OTHERS THEN RAISE; END $$",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_function_refused_in_a_read_only_transaction_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused("25006", "BEGIN READ ONLY; SELECT session_timeout.open_session('{sid}')")
        .is_not_shown_after("25006");
}

#[test]
fn a_prepare_refused_in_a_query_of_many_statements_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "0A000",
            "BEGIN; SELECT session_timeout.close_session('{sid}'); PREPARE TRANSACTION '{sid}'",
        )
        .is_not_shown_after("0A000");
}

#[test]
fn a_trigger_that_refuses_shows_no_session_id() {
    let mut provocation = Provocation::new();
    provocation
        .refused(
            "22023",
            "INSERT INTO session_timeout.config_parameter (key, value)
                 VALUES ('{sid}', '1'), ('inactive_session_time_out_delay', 'no time')",
        )
        .refused(
            "22023",
            "SELECT session_timeout.check_session('{sid}'), session_timeout.set_param(NULL, '')",
        )
        .is_not_shown_after("22023");
}

#[test]
fn a_unique_violation_by_hand_shows_the_digest_at_most() {
    let mut provocation = Provocation::new();
    let digest: String = provocation.client.value(
        "SELECT session_timeout.session_digest($1)::text",
        &[&provocation.sid.clone()],
    );
    provocation
        .refused(
            "23505",
            &format!("INSERT INTO session_timeout.session (digest) VALUES ('{digest}')"),
        )
        .is_not_shown_after("23505");
}

#[test]
fn the_warning_of_create_extension_shows_nothing_of_its_query() {
    let database = database()
        .server()
        .database_builder("warned")
        .without_extension()
        .create();
    let marker = unique("recognizable-session-id");
    let mut client = database.connect();
    client.run(&format!("CREATE EXTENSION inactive_session_timeout; SELECT '{marker}'"));
    let pid: i32 = client.value("SELECT pg_backend_pid()", &[]);
    assert_logged(pid, "WARNING");
    assert!(!database.server().log().contains(&marker));
}
