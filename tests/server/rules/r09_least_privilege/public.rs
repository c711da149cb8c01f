//! What PUBLIC may do, and a role with nothing but USAGE.

use session_timeout_tests::shared;

use super::{CALLS, RELATIONS, TABLES, login};
use crate::support::{SessionCalls, own_database, refusal};

#[test]
fn public_is_granted_the_digest_and_nothing_else() {
    let database = own_database();
    let granted: Vec<String> = database
        .connect()
        .query(
            "WITH member AS (
                 SELECT classid, objid FROM pg_depend
                 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND refobjid = (
                     SELECT oid FROM pg_extension WHERE extname = 'inactive_session_timeout')
             ), acl AS (
                 SELECT objid::regprocedure::text AS what, coalesce(proacl, acldefault('f', proowner)) AS acl
                 FROM member JOIN pg_proc ON pg_proc.oid = objid WHERE classid = 'pg_proc'::regclass
                 UNION ALL
                 SELECT objid::regclass::text,
                        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END, relowner))
                 FROM member JOIN pg_class ON pg_class.oid = objid WHERE classid = 'pg_class'::regclass
                 UNION ALL
                 SELECT objid::regclass::text || '.' || attname, attacl
                 FROM member JOIN pg_attribute ON attrelid = objid WHERE classid = 'pg_class'::regclass
                 UNION ALL
                 SELECT nspname, coalesce(nspacl, acldefault('n', nspowner))
                 FROM member JOIN pg_namespace ON pg_namespace.oid = objid WHERE classid = 'pg_namespace'::regclass
             )
             SELECT what FROM acl, aclexplode(acl) WHERE grantee = 0 ORDER BY what",
            &[],
        )
        .expect("the privileges")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(granted, ["session_timeout.session_digest(text)"]);
}

#[test]
fn a_role_with_nothing_can_call_nothing() {
    let role = login("nobody");
    let database = own_database();
    let mut client = database.connect_as(role.name());
    for call in CALLS {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
    }
}

#[test]
fn a_role_with_usage_alone_can_call_the_digest_and_nothing_else() {
    let role = login("usage");
    let database = shared().database("usage");
    database.execute(&format!("GRANT USAGE ON SCHEMA session_timeout TO {}", role.name()));
    let mut client = database.connect_as(role.name());
    for call in CALLS {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
    }
    client.run("SELECT session_timeout.session_digest('sid')");
}

#[test]
fn a_role_with_nothing_can_read_and_write_no_table() {
    let role = login("nobody");
    let database = shared().database("usage");
    database.execute(&format!("GRANT USAGE ON SCHEMA session_timeout TO {}", role.name()));
    let mut client = database.connect_as(role.name());
    for relation in RELATIONS {
        assert_eq!(
            refusal(&mut client, &format!("SELECT FROM session_timeout.{relation}")),
            "42501",
            "{relation}"
        );
    }
    for table in TABLES {
        assert_eq!(
            refusal(&mut client, &format!("DELETE FROM session_timeout.{table}")),
            "42501",
            "{table}"
        );
    }
}
