//! What the installing role and the database's owner may do.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Role, shared};

use super::{CALLS, RELATIONS, login};
use crate::support::{SessionCalls, refusal};

/// A database of `owner`, into which `owner` has installed the extension.
fn trusted_install(owner: &Role) -> Database<'static> {
    let database = shared()
        .database_builder("trusted")
        .owner(owner.name())
        .without_extension()
        .create();
    database
        .connect_as(owner.name())
        .run("CREATE EXTENSION inactive_session_timeout");
    database
}

/// A database of `owner`, into which a superuser has installed the extension.
fn superusers_install(owner: &Role) -> Database<'static> {
    shared().database_builder("owned").owner(owner.name()).create()
}

/// What runs for both kinds of owner.
fn for_each_owner(test: fn(&Database, &mut Client)) {
    for install in [trusted_install, superusers_install] {
        let owner = login("owner");
        let database = install(&owner);
        let mut client = database.connect_as(owner.name());
        test(&database, &mut client);
    }
}

#[test]
fn an_owner_can_call_every_function() {
    for_each_owner(|_, client| {
        for call in CALLS {
            client.run(&format!("SELECT session_timeout.{call}"));
        }
    });
}

#[test]
fn an_owner_can_read_the_tables_and_views() {
    for_each_owner(|_, client| {
        for relation in RELATIONS {
            client.run(&format!("SELECT * FROM session_timeout.{relation}"));
        }
    });
}

#[test]
fn an_owner_can_change_parameter_rows() {
    for_each_owner(|_, client| {
        client.run(
            "UPDATE session_timeout.config_parameter SET value = '60' WHERE key = 'inactive_session_time_out_delay';
             DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_warning';
             INSERT INTO session_timeout.config_parameter (key, value) VALUES ('other', 'value')",
        );
        let delay: String = client.value(
            "SELECT session_timeout.get_param('inactive_session_time_out_delay')",
            &[],
        );
        assert_eq!(delay, "60");
    });
}

#[test]
fn an_owner_can_change_session_rows() {
    for_each_owner(|_, client| {
        client.run("INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest('sid'))");
        assert!(client.check("sid"));
        client.has_been_idle("sid", "3 hours");
        assert_eq!(client.peek("sid").status, "idle_expired");
        client.run("DELETE FROM session_timeout.session");
        assert_eq!(client.event_kinds("sid"), ["closed"]);
        client.open("sid");
        client.run("TRUNCATE session_timeout.session");
        assert!(!client.check("sid"));
    });
}

#[test]
fn an_owner_can_do_nothing_else() {
    for_each_owner(|_, client| {
        client.run("CREATE FUNCTION public.steal() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
        for statement in [
            "CREATE TRIGGER t AFTER INSERT ON session_timeout.session EXECUTE FUNCTION public.steal()",
            "CREATE TRIGGER t AFTER INSERT ON session_timeout.config_parameter EXECUTE FUNCTION public.steal()",
            "CREATE TABLE public.t (digest bytea REFERENCES session_timeout.session)",
            "CREATE TABLE session_timeout.t ()",
            "CREATE FUNCTION session_timeout.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE FUNCTION session_timeout.purge_sessions() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
            "ALTER TABLE session_timeout.session ADD COLUMN stolen int",
            "ALTER TABLE session_timeout.session DISABLE TRIGGER ALL",
            "ALTER TABLE session_timeout.session ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE session_timeout.session RENAME TO other",
            "ALTER SEQUENCE session_timeout.session_version_seq RESTART",
            "SELECT setval('session_timeout.session_version_seq', 1)",
            "CREATE RULE r AS ON INSERT TO session_timeout.session DO INSTEAD NOTHING",
            "CREATE POLICY p ON session_timeout.session",
            "CREATE INDEX ON session_timeout.session (last_activity)",
            "DROP TABLE session_timeout.session",
            "DROP SCHEMA session_timeout CASCADE",
            "ALTER SCHEMA session_timeout RENAME TO other",
            "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity)
                 VALUES (now(), '', 'closed', now())",
            "UPDATE session_timeout.session_event SET kind = 'closed'",
            "DELETE FROM session_timeout.session_event",
            "TRUNCATE session_timeout.session_event",
        ] {
            assert_eq!(refusal(client, statement), "42501", "{statement}");
        }
    });
}

#[test]
fn an_owner_has_no_right_that_lets_code_of_its_own_run_for_others() {
    for_each_owner(|_, client| {
        let rows = client.query(
            "SELECT oid::regclass::text || ': ' || privilege FROM pg_class,
                    unnest('{TRIGGER,REFERENCES}'::text[]) AS privilege
             WHERE relnamespace = 'session_timeout'::regnamespace AND relkind IN ('r', 'v')
               AND has_table_privilege(oid, privilege)
             UNION ALL
             SELECT oid::regclass::text || ': owner' FROM pg_class
             WHERE relnamespace = 'session_timeout'::regnamespace AND pg_has_role(relowner, 'USAGE')
             UNION ALL
             SELECT oid::regprocedure::text || ': owner' FROM pg_proc
             WHERE pronamespace = 'session_timeout'::regnamespace AND pg_has_role(proowner, 'USAGE')
             UNION ALL
             SELECT 'schema: CREATE' WHERE has_schema_privilege('session_timeout', 'CREATE')",
            &[],
        );
        let rights: Vec<String> = rows.expect("the rights").iter().map(|row| row.get(0)).collect();
        assert_eq!(rights, [] as [String; 0]);
    });
}

#[test]
fn an_owner_cannot_take_a_table_out_of_the_extension_nor_move_it() {
    let owner = login("owner");
    let database = trusted_install(&owner);
    let mut client = database.connect_as(owner.name());
    for statement in [
        "ALTER EXTENSION inactive_session_timeout DROP TABLE session_timeout.session",
        "ALTER EXTENSION inactive_session_timeout DROP FUNCTION session_timeout.purge_sessions()",
    ] {
        assert_eq!(refusal(&mut client, statement), "42501", "{statement}");
    }
    assert_eq!(
        refusal(
            &mut client,
            "ALTER EXTENSION inactive_session_timeout SET SCHEMA public"
        ),
        "0A000"
    );
}

#[test]
fn the_role_that_installed_can_drop_the_extension_and_nothing_is_left() {
    let owner = login("owner");
    let database = trusted_install(&owner);
    let mut client = database.connect_as(owner.name());
    client.run("DROP EXTENSION inactive_session_timeout");
    let left: i64 = client.value(
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'session_timeout'",
        &[],
    );
    assert_eq!(left, 0);
}
