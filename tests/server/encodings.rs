//! Databases in other encodings, and bytes that are not UTF-8.
//!
//! The tests' driver speaks UTF-8. Where that has no way to say a byte, escapes (`E'\xe9'`) do, or psql in another
//! client encoding.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, error_of, param, run, shared};

use crate::support::SessionCalls;

/// An encoding, and in it a text that is not ASCII, as a literal.
struct Case {
    encoding: &'static str,
    text: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        encoding: "SQL_ASCII",
        text: r"E'\xff\xfe\x80 caf\xe9'",
    },
    Case {
        encoding: "LATIN1",
        text: r"E'caf\xe9 \xa0\xff'",
    },
    Case {
        encoding: "UTF8",
        text: r"E'caf\xc3\xa9 \xf0\x9f\x94\x91'",
    },
    Case {
        encoding: "EUC_JP",
        text: r"E'\xa4\xa2\x8e\xb1\x8f\xb0\xa1'",
    },
];

/// Runs `test` in a database of each encoding.
fn in_each_encoding(test: fn(&mut Client, &Case)) {
    for case in &CASES {
        let database = database_in(case.encoding);
        test(&mut database.connect(), case);
    }
}

fn database_in(encoding: &str) -> Database<'static> {
    shared().database_builder("encoded").encoding(encoding).create()
}

impl Case {
    /// What a boolean expression says in which `{text}` stands for the text.
    #[track_caller]
    fn holds(&self, client: &mut Client, expression: &str) -> bool {
        client.value(&format!("SELECT {}", expression.replace("{text}", self.text)), &[])
    }
}

#[test]
fn the_digest_is_the_sha256_of_the_servers_bytes() {
    in_each_encoding(|client, case| {
        let digest = format!(
            "session_timeout.session_digest({{text}}) = sha256(convert_to({{text}}, '{}'))",
            case.encoding
        );
        assert!(case.holds(client, &digest), "{}", case.encoding);
    });
}

#[test]
fn the_digest_of_a_parameter_is_the_sha256_of_the_bytes_it_is_converted_to() {
    for (encoding, text, bytes) in [
        ("LATIN1", "é", vec![0xe9_u8]),
        ("UTF8", "é", vec![0xc3, 0xa9]),
        ("EUC_JP", "あ", vec![0xa4, 0xa2]),
    ] {
        let is_same: bool = database_in(encoding).connect().value(
            "SELECT session_timeout.session_digest($1) = sha256($2)",
            &[&text, &bytes],
        );
        assert!(is_same, "{encoding}");
    }
}

#[test]
fn a_session_id_of_any_bytes_leads_its_session_through_its_life() {
    in_each_encoding(|client, case| {
        for (step, answer) in [
            ("session_timeout.check_session({text})", false),
            ("session_timeout.open_session({text}) IS NOT NULL", true),
            ("session_timeout.check_session({text})", true),
            ("(session_timeout.peek_session({text})).valid", true),
            ("session_timeout.rotate_session({text}, {text} || {text})", true),
            ("session_timeout.check_session({text})", false),
            ("session_timeout.check_session({text} || {text})", true),
            ("session_timeout.close_session({text} || {text})", true),
            ("session_timeout.check_session({text} || {text})", false),
        ] {
            assert_eq!(case.holds(client, step), answer, "{}: {step}", case.encoding);
        }
    });
}

#[test]
fn each_single_byte_is_a_session_id_of_its_own() {
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let database = database_in(encoding);
        let mut client = database.connect();
        client.run("SELECT session_timeout.open_session(chr(byte)) FROM generate_series(1, 255) AS byte");
        let (sessions, valid): (i64, i64) = (
            client.value("SELECT count(*) FROM session_timeout.session", &[]),
            client.value(
                "SELECT count(*) FILTER (WHERE session_timeout.check_session(chr(byte)))
                 FROM generate_series(1, 255) AS byte",
                &[],
            ),
        );
        assert_eq!((sessions, valid), (255, 255), "{encoding}");
    }
}

#[test]
fn a_session_ids_length_counts_in_the_servers_bytes() {
    let six_hundred = "é".repeat(600);
    let check = "SELECT session_timeout.check_session($1)";
    let latin1: bool = database_in("LATIN1").connect().value(check, &[&six_hundred]);
    assert!(!latin1, "600 bytes are a session id");
    let error = error_of(shared().database("encoded").connect().query_one(check, &[&six_hundred]));
    assert_eq!(error.sqlstate, "22023", "1200 bytes are none");
}

#[test]
fn a_user_name_of_any_bytes_is_kept_shown_and_revoked() {
    in_each_encoding(|client, case| {
        for step in [
            "session_timeout.open_session('sid', {text}) IS NOT NULL",
            "(SELECT user_name = {text} FROM session_timeout.session)",
            "(session_timeout.session_verdict('sid')).user_name = {text}",
            "(SELECT user_name = {text} FROM session_timeout.active_session)",
            "session_timeout.close_user_sessions({text} || 'x') = 0",
            "session_timeout.close_user_sessions({text}) = 1",
            "(SELECT user_name = {text} FROM session_timeout.session_event)",
        ] {
            assert!(case.holds(client, step), "{}: {step}", case.encoding);
        }
    });
}

#[test]
fn the_message_for_a_refused_value_is_readable_in_every_encoding() {
    in_each_encoding(|client, case| {
        for key in [
            param::DELAY,
            param::IGNORED_URL,
            param::IGNORED_URL_MODE,
            "inactive_session_time_out_unknown",
        ] {
            let set = format!("SELECT session_timeout.set_param('{key}', {})", case.text);
            let update = format!(
                "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('{key}', {})",
                case.text
            );
            for statement in [set, update] {
                let error = error_of(client.batch_execute(&statement));
                assert_eq!(error.sqlstate, "22023", "{}: {statement}", case.encoding);
                assert!(
                    error.message.is_ascii() && error.message.contains("inactive_session"),
                    "{error}"
                );
                assert!(error.hint.is_ascii() && !error.hint.is_empty(), "{error}");
            }
        }
    });
}

#[test]
fn the_message_for_a_refused_key_is_readable_in_every_encoding() {
    in_each_encoding(|client, case| {
        let statement = format!(
            "SELECT session_timeout.set_param('inactive_session_time_out_' || {}, '1')",
            case.text
        );
        let error = error_of(client.batch_execute(&statement));
        assert_eq!(error.sqlstate, "22023", "{}", case.encoding);
        assert!(error.message.is_ascii(), "{error}");
    });
}

#[test]
fn another_key_and_value_of_any_bytes_are_stored_as_they_are() {
    in_each_encoding(|client, case| {
        for step in [
            "session_timeout.set_param({text}, {text}) IS NULL",
            "session_timeout.get_param({text}) = {text}",
            "session_timeout.get_param({text} || 'x', {text}) = {text}",
            "(SELECT value = {text} FROM session_timeout.config_parameter WHERE key = {text})",
        ] {
            assert!(case.holds(client, step), "{}: {step}", case.encoding);
        }
    });
}

#[test]
fn an_ignored_url_of_another_script_matches_in_its_escaped_form() {
    in_each_encoding(|client, case| {
        client.open("sid");
        for step in [
            "session_timeout.set_param('inactive_session_time_out_ignored_url', '/caf%C3%A9/*') IS NOT NULL",
            "(session_timeout.session_verdict('sid', '/caf%C3%A9/x')).status = 'ignored'",
            "(session_timeout.session_verdict('sid', 'https://host/caf%C3%A9/x?y')).status = 'ignored'",
            "(session_timeout.session_verdict('sid', '/caf%C3%A9')).status = 'active'",
            "(session_timeout.session_verdict('sid', '/caf%E9/x')).status = 'active'",
        ] {
            assert!(case.holds(client, step), "{}: {step}", case.encoding);
        }
    });
}

#[test]
fn a_url_of_bytes_that_are_no_words_in_utf_8_is_never_ignored() {
    in_each_encoding(|client, case| {
        client.open("sid");
        for step in [
            "session_timeout.set_param('inactive_session_time_out_ignored_url', '/' || {text} || '/*') IS NOT NULL",
            "(session_timeout.session_verdict('sid', '/' || {text} || '/x')).status = 'active'",
        ] {
            assert!(case.holds(client, step), "{}: {step}", case.encoding);
        }
    });
}

/// Runs SQL of any bytes through psql in a client encoding.
fn psql(database: &Database, client_encoding: &str, sql: &[u8]) -> String {
    let mut command = database.program("psql");
    command
        .env("PGCLIENTENCODING", client_encoding)
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c"]);
    run(command.arg(OsStr::from_bytes(sql))).trim().to_owned()
}

#[test]
fn one_session_id_is_the_same_session_from_clients_in_different_encodings() {
    let database = database_in("UTF8");
    psql(
        &database,
        "UTF8",
        "SELECT session_timeout.open_session('café')".as_bytes(),
    );
    assert_eq!(
        psql(&database, "LATIN1", b"SELECT session_timeout.check_session('caf\xe9')"),
        "t"
    );
}

#[test]
fn raw_bytes_of_a_client_are_the_session_id_where_nothing_is_converted() {
    let database = database_in("SQL_ASCII");
    psql(
        &database,
        "SQL_ASCII",
        b"SELECT session_timeout.open_session('caf\xe9\xff')",
    );
    assert_eq!(
        psql(
            &database,
            "SQL_ASCII",
            b"SELECT session_timeout.check_session('caf\xe9\xff')"
        ),
        "t"
    );
    let is_same: bool = database
        .connect()
        .value(r"SELECT session_timeout.check_session(E'caf\xe9\xff')", &[]);
    assert!(is_same);
}

#[test]
fn the_message_for_a_refused_raw_value_is_in_the_clients_encoding() {
    let database = database_in("LATIN1");
    let mut command = database.program("psql");
    command
        .env("PGCLIENTENCODING", "UTF8")
        .args(["-X", "-v", "VERBOSITY=verbose", "-c"]);
    let output = command
        .arg("SELECT session_timeout.set_param('inactive_session_time_out_delay', 'é')")
        .output()
        .expect("psql");
    let told = String::from_utf8(output.stderr).expect("what psql says is UTF-8");
    assert!(
        told.contains("22023") && told.contains("inactive_session_time_out_delay"),
        "{told}"
    );
}
