//! The extension: its members, its schema, and what CREATE EXTENSION finds or refuses.

use session_timeout_tests::{error_of, shared};

use super::texts;
use crate::support::{SessionCalls, app, new_sid, own_database};

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
fn a_recreated_extension_finds_nothing_of_the_old_one() {
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
