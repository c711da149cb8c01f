//! The SQL interface: the objects of the extension, their types and properties.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::postgres::types::ToSql;
use session_timeout_tests::{error_of, shared};

use crate::support::{SessionCalls, app, new_sid, own_database};

/// The text values in the first column of what a query answers.
#[track_caller]
fn texts(client: &mut Client, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<String> {
    match client.query(sql, params) {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => panic!("{sql}: {error:?}"),
    }
}

// ---- Functions -------------------------------------------------------------------------------------------------------

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

// ---- Types, tables and views -----------------------------------------------------------------------------------------

/// The columns of a table, view or row type, each with its type.
#[track_caller]
fn columns(of: &str) -> Vec<String> {
    texts(
        &mut app(),
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        &[&format!("session_timeout.{of}")],
    )
}

#[test]
fn a_verdict_has_the_documented_columns() {
    let expected = [
        "valid boolean",
        "status text",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "expires_at timestamp with time zone",
        "expires_in interval",
        "warn boolean",
    ];
    assert_eq!(columns("verdict"), expected);
}

#[test]
fn config_parameter_has_the_columns_of_odoos_table() {
    let expected = [
        "id integer",
        "key text",
        "value text",
        "create_uid integer",
        "create_date timestamp with time zone",
        "write_uid integer",
        "write_date timestamp with time zone",
    ];
    assert_eq!(columns("config_parameter"), expected);
}

#[test]
fn session_has_the_documented_columns() {
    let expected = [
        "digest bytea",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "idle_delay interval",
        "absolute_delay interval",
        "version bigint",
    ];
    assert_eq!(columns("session"), expected);
}

#[test]
fn session_event_has_the_documented_columns() {
    let expected = [
        "id bigint",
        "at timestamp with time zone",
        "digest bytea",
        "user_name text",
        "kind text",
        "last_activity timestamp with time zone",
    ];
    assert_eq!(columns("session_event"), expected);
}

#[test]
fn active_session_shows_whose_session_it_is_and_when_it_ends() {
    let expected = [
        "digest bytea",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "expires_at timestamp with time zone",
        "expires_in interval",
        "warn boolean",
    ];
    assert_eq!(columns("active_session"), expected);
}

#[test]
fn the_digest_is_the_primary_key_of_session() {
    let key = texts(
        &mut app(),
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE conrelid = 'session_timeout.session'::regclass AND contype = 'p'",
        &[],
    );
    assert_eq!(key, ["PRIMARY KEY (digest)"]);
}

#[test]
fn no_index_contains_activity() {
    let indexes = texts(
        &mut app(),
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'session_timeout' AND indexdef LIKE '%last_activity%'",
        &[],
    );
    assert_eq!(indexes, [""; 0]);
}

#[test]
fn every_trigger_fires_in_every_replication_role() {
    let enabled = texts(
        &mut app(),
        "SELECT DISTINCT tgenabled::text FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid \
         WHERE relnamespace = 'session_timeout'::regnamespace AND NOT tgisinternal",
        &[],
    );
    assert_eq!(enabled, ["A"]);
}

// ---- The extension ---------------------------------------------------------------------------------------------------

/// The members of the extension, as `pg_depend` has them.
const MEMBERS: &str = "SELECT classid, objid FROM pg_depend JOIN pg_extension AS e ON e.oid = refobjid \
    WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND extname = 'inactive_session_timeout'";

#[test]
fn every_member_of_the_extension_has_a_comment() {
    // A table's row type and a type's array are members too, by PostgreSQL 18's count; their maker has the comment.
    let without = texts(
        &mut app(),
        &format!(
            "SELECT pg_describe_object(classid, objid, 0) FROM ({MEMBERS}) AS member \
             WHERE obj_description(objid, classid::regclass::name) IS NULL AND NOT EXISTS ( \
                 SELECT FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = typrelid \
                 WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (typcategory = 'A' OR relkind <> 'c'))"
        ),
        &[],
    );
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_column_of_a_table_view_or_type_has_a_comment() {
    let without = texts(
        &mut app(),
        &format!(
            "SELECT c.oid::regclass || '.' || attname FROM ({MEMBERS}) AS member \
             JOIN pg_class AS c ON relkind IN ('r', 'v', 'c') \
               AND (classid, objid) IN (('pg_class'::regclass, c.oid), ('pg_type'::regclass, reltype)) \
             JOIN pg_attribute ON attrelid = c.oid \
             WHERE attnum > 0 AND NOT attisdropped AND col_description(c.oid, attnum) IS NULL"
        ),
        &[],
    );
    assert_eq!(without, [""; 0]);
}

#[test]
fn every_object_in_the_schema_belongs_to_the_extension() {
    let others = texts(
        &mut app(),
        &format!(
            "WITH member AS ({MEMBERS}) \
             SELECT oid::regprocedure::text FROM pg_proc \
             WHERE pronamespace = 'session_timeout'::regnamespace AND oid NOT IN (SELECT objid FROM member) \
             UNION ALL \
             SELECT oid::regclass::text FROM pg_class \
             WHERE relnamespace = 'session_timeout'::regnamespace AND relkind IN ('r', 'v', 'S') \
             AND oid NOT IN (SELECT objid FROM member)"
        ),
        &[],
    );
    assert_eq!(others, [""; 0]);
}

#[test]
fn the_extension_is_trusted_and_not_relocatable_and_names_pg_catalog() {
    let control = texts(
        &mut app(),
        "SELECT DISTINCT format('%s %s %s', trusted, relocatable, schema) FROM pg_available_extension_versions \
         WHERE name = 'inactive_session_timeout'",
        &[],
    );
    assert_eq!(control, ["t f pg_catalog"]);
}

#[test]
fn the_extension_makes_its_schema_itself() {
    let database = own_database();
    let mut admin = database.connect();
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'session_timeout'";
    assert_eq!(admin.value::<i64>(count, &[]), 1);
    admin.run("DROP EXTENSION inactive_session_timeout");
    assert_eq!(admin.value::<i64>(count, &[]), 0);
    admin.run("CREATE EXTENSION inactive_session_timeout");
}

#[test]
fn a_planted_schema_is_refused() {
    let database = shared().database_builder("planted").without_extension().create();
    let mut admin = database.connect();
    admin.run("CREATE SCHEMA session_timeout");
    let error = error_of(admin.batch_execute("CREATE EXTENSION inactive_session_timeout"));
    assert_eq!(error.sqlstate, "42P06");
}

#[test]
fn an_extension_dropped_and_created_anew_finds_nothing_of_the_old() {
    let database = own_database();
    let (mut app, mut other, sid) = (database.connect(), database.connect(), new_sid());
    app.set_param("inactive_session_time_out_delay", Some("1 day"));
    app.open(&sid);
    assert!(other.check(&sid));
    app.run("DROP EXTENSION inactive_session_timeout; CREATE EXTENSION inactive_session_timeout");
    for client in [&mut app, &mut other] {
        assert!(!client.check(&sid));
        assert_eq!(
            client.value::<String>(
                "SELECT session_timeout.get_param('inactive_session_time_out_delay')",
                &[]
            ),
            "7200"
        );
    }
}
