//! Who may do what: PUBLIC nothing, an application's role what it was granted, the installing role and the database's
//! owner all calls and the rows, and nobody more than that.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Role, shared};

use crate::support::{SessionCalls, outcome, own_database, refusal};

/// A call of every function.
const CALLS: [&str; 14] = [
    "open_session('sid', 'user', '1 hour', '2 hours')",
    "check_session('sid', '/')",
    "session_verdict('sid', '/')",
    "peek_session('sid')",
    "rotate_session('sid', 'new')",
    "close_session('new')",
    "close_user_sessions('user', 'sid')",
    "purge_sessions()",
    "flush_sessions()",
    "set_param('inactive_session_time_out_delay', '3600')",
    "get_param('inactive_session_time_out_delay')",
    "session_outlook(NULL, NULL, now(), now(), NULL, NULL)",
    "counters()",
    "worker_state(0)",
];

/// The calls that a login, a request and a logout need.
const APPLICATION_CALLS: [&str; 5] = [
    "open_session",
    "check_session",
    "session_verdict",
    "rotate_session",
    "close_session",
];

const TABLES: [&str; 3] = ["config_parameter", "session", "session_event"];

const RELATIONS: [&str; 6] = [
    "config_parameter",
    "session",
    "session_event",
    "active_session",
    "stat_session_timeout",
    "stat_worker",
];

fn login(hint: &str) -> Role<'static> {
    shared().role(hint, "LOGIN NOSUPERUSER")
}

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
fn every_function_has_a_call_in_these_tests() {
    let database = own_database();
    let rows = database.connect().query(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace
         AND prorettype <> 'trigger'::regtype AND proname <> 'session_digest' ORDER BY 1",
        &[],
    );
    let functions: Vec<String> = rows.expect("the functions").iter().map(|row| row.get(0)).collect();
    let mut called: Vec<&str> = CALLS.iter().filter_map(|call| call.split('(').next()).collect();
    called.sort_unstable();
    assert_eq!(functions, called);
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

/// A database, and in it a role with USAGE on the schema and EXECUTE on an application's functions.
fn application() -> (Role<'static>, Database<'static>) {
    let role = login("application");
    let database = shared().database("application");
    database.execute(&format!("GRANT USAGE ON SCHEMA session_timeout TO {}", role.name()));
    for function in APPLICATION_CALLS {
        database.execute(&format!(
            "GRANT EXECUTE ON FUNCTION session_timeout.{function} TO {}",
            role.name()
        ));
    }
    (role, database)
}

#[test]
fn a_role_with_execute_alone_leads_a_session_through_its_life() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    client.open_as("sid", "user");
    assert!(client.check("sid"));
    assert_eq!(client.verdict("sid").user_name.as_deref(), Some("user"));
    assert!(client.rotate("sid", "new"));
    assert!(client.close_sid("new"));
    assert!(!client.check("new"));
}

#[test]
fn a_role_with_execute_alone_touches_a_session() {
    let (role, database) = application();
    let mut superuser = database.connect();
    superuser.open("sid");
    superuser.has_been_idle("sid", "1 hour");
    let before = superuser.stored("sid");
    assert!(database.connect_as(role.name()).check("sid"));
    assert_ne!(superuser.stored("sid"), before);
}

#[test]
fn a_role_with_execute_alone_expires_a_session() {
    let (role, database) = application();
    let mut superuser = database.connect();
    superuser.open("sid");
    superuser.has_been_idle("sid", "3 hours");
    assert!(!database.connect_as(role.name()).check("sid"));
    assert_eq!(superuser.event_kinds("sid"), ["idle_expired"]);
}

#[test]
fn a_role_with_execute_alone_sees_no_table() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    for relation in RELATIONS {
        assert_eq!(
            refusal(&mut client, &format!("SELECT FROM session_timeout.{relation}")),
            "42501",
            "{relation}"
        );
    }
}

#[test]
fn a_role_with_an_applications_functions_cannot_purge_revoke_or_set_parameters() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    for call in [
        "purge_sessions()",
        "close_user_sessions('user')",
        "set_param('key', 'value')",
        "get_param('key')",
    ] {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
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

#[test]
fn a_schema_planted_before_the_install_is_refused_and_the_install_leaves_nothing() {
    let owner = login("owner");
    let database = shared()
        .database_builder("planted")
        .owner(owner.name())
        .without_extension()
        .create();
    let mut client = database.connect_as(owner.name());
    client.run("CREATE SCHEMA session_timeout");
    assert_eq!(
        refusal(&mut client, "CREATE EXTENSION inactive_session_timeout"),
        "42P06"
    );
    let mut superuser = database.connect();
    assert_eq!(
        refusal(&mut superuser, "CREATE EXTENSION inactive_session_timeout"),
        "42P06"
    );
    let left: i64 = superuser.value(
        "SELECT (SELECT count(*) FROM pg_extension WHERE extname = 'inactive_session_timeout')
              + (SELECT count(*) FROM pg_class WHERE relnamespace = 'session_timeout'::regnamespace)
              + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'session_timeout'::regnamespace)",
        &[],
    );
    assert_eq!(left, 0);
}

/// Plants, in `public`, a function that raises for every operator and function of PostgreSQL's that the extension's
/// definitions could be thought to mean, under the same name and for the same types.
const PLANT: &str = r#"
CREATE FUNCTION public.planted() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted'; END $$;
DO $plant$
DECLARE
    o record;
    types CONSTANT pg_catalog.regtype[] := '{text,bytea,timestamptz,interval,integer,bigint}';
BEGIN
    FOR o IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result, oid
             FROM pg_catalog.pg_operator
             WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft = ANY (types) AND oprright = ANY (types)
    LOOP
        EXECUTE format('CREATE FUNCTION public.planted_%s(%s, %s) RETURNS %s LANGUAGE plpgsql
                        AS $f$ BEGIN RAISE EXCEPTION ''planted''; END $f$', o.oid, o.l, o.r, o.result);
        EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.planted_%s, LEFTARG = %s, RIGHTARG = %s)',
                       o.oprname, o.oid, o.l, o.r);
    END LOOP;
    FOR o IN SELECT proname, pg_catalog.pg_get_function_identity_arguments(oid) AS arguments, prorettype::regtype AS result
             FROM pg_catalog.pg_proc
             WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' AND proname = ANY ('{now,clock_timestamp,
                 nextval,octet_length,isfinite,sha256,text,interval,timestamptz,length,lower,pg_notify,bytea_eq,texteq}')
               AND prorettype <> 'internal'::regtype
    LOOP
        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql
                        AS $f$ BEGIN RAISE EXCEPTION ''planted''; END $f$', o.proname, o.arguments, o.result);
    END LOOP;
END $plant$;
"#;

/// A connection to a database full of planted objects, which come first in its search path.
fn connect_among_plants(database: &Database) -> Client {
    let mut client = database.connect();
    client.run("SET search_path = public, pg_temp, pg_catalog");
    assert_eq!(
        refusal(&mut client, "SELECT 1 = 1"),
        "P0001",
        "planted operators are called"
    );
    assert_eq!(
        refusal(&mut client, "SELECT octet_length('x'::bytea)"),
        "P0001",
        "planted functions are called"
    );
    client
}

#[test]
fn planted_functions_and_operators_are_not_called_by_the_install_nor_by_any_function() {
    let database = shared().database_builder("planted").without_extension().create();
    database.execute(PLANT);
    let mut client = connect_among_plants(&database);
    client.run("CREATE EXTENSION inactive_session_timeout");
    for call in CALLS {
        client.run(&format!(
            "SELECT session_timeout.{}",
            call.replace("now()", "pg_catalog.now()")
        ));
    }
}

#[test]
fn planted_functions_and_operators_are_not_called_by_triggers_constraints_defaults_or_views() {
    let database = shared().database("planted");
    database.execute(PLANT);
    let mut client = connect_among_plants(&database);
    client.run(
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('key', 'value');
         INSERT INTO session_timeout.config_parameter (key, value) VALUES ('inactive_session_time_out_delay', '60');
         UPDATE session_timeout.config_parameter SET write_uid = 1;
         DELETE FROM session_timeout.config_parameter;
         INSERT INTO session_timeout.session (digest, user_name, idle_delay, absolute_delay)
             VALUES (session_timeout.session_digest('sid'), 'user', '1 hour', '1 hour');
         UPDATE session_timeout.session SET user_name = 'other', idle_delay = '2 hours';
         SELECT * FROM session_timeout.active_session;
         DELETE FROM session_timeout.session;
         TRUNCATE session_timeout.session",
    );
}

#[test]
fn planted_objects_named_as_ours_are_not_taken_for_ours() {
    let database = shared().database("planted");
    let mut client = database.connect();
    client.run(
        "CREATE TABLE public.session (LIKE session_timeout.session);
         CREATE TABLE public.config_parameter (LIKE session_timeout.config_parameter);
         CREATE TEMP TABLE session (LIKE session_timeout.session);
         SET search_path = pg_temp, public",
    );
    client.open("sid");
    assert!(client.check("sid"));
    let rows: i64 = client.value(
        "SELECT (SELECT count(*) FROM pg_temp.session) + (SELECT count(*) FROM public.session)",
        &[],
    );
    assert_eq!(rows, 0);
}

#[test]
fn checks_work_in_a_parallel_operation_entered_by_a_mislabelled_caller() {
    let database = shared().database("parallel");
    let mut client = database.connect();
    client.run(
        "CREATE FUNCTION public.valid(sid text) RETURNS text PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
             RETURN pg_catalog.concat_ws(' ', session_timeout.check_session(sid),
                 (session_timeout.session_verdict(sid)).status, (session_timeout.peek_session(sid)).status);
         END $$",
    );
    client.open("sid");
    client.has_been_idle("sid", "1 hour");
    // The setting's name until PostgreSQL 15, and since.
    let forced = outcome(client.batch_execute("SET force_parallel_mode = on"))
        .or_else(|_| outcome(client.batch_execute("SET debug_parallel_query = on")));
    assert_eq!(forced, Ok(()));
    let plan = client.query("EXPLAIN SELECT public.valid('sid')", &[]).expect("a plan");
    assert!(
        plan.iter().any(|line| line.get::<_, &str>(0).contains("Gather")),
        "a worker does it"
    );
    let valid: String = client.value("SELECT public.valid('sid')", &[]);
    assert_eq!(valid, "t active active");
}

#[test]
fn changes_are_refused_in_a_parallel_operation() {
    let database = shared().database("parallel");
    let mut client = database.connect();
    client.run(
        "CREATE FUNCTION public.login(sid text) RETURNS void PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
             PERFORM session_timeout.open_session(sid);
         END $$",
    );
    let _ = client
        .batch_execute("SET force_parallel_mode = on")
        .or_else(|_| client.batch_execute("SET debug_parallel_query = on"));
    assert_eq!(refusal(&mut client, "SELECT public.login('sid')"), "25000");
}

#[test]
fn a_monitoring_role_reads_the_two_statistics_views_and_no_more() {
    let role = shared().role("monitor", "LOGIN IN ROLE pg_monitor");
    let database = own_database();
    let mut client = database.connect_as(role.name());
    for view in ["stat_session_timeout", "stat_worker"] {
        client.run(&format!("SELECT * FROM session_timeout.{view}"));
    }
    for relation in &RELATIONS[..4] {
        assert_eq!(
            refusal(&mut client, &format!("SELECT FROM session_timeout.{relation}")),
            "42501",
            "{relation}"
        );
    }
    for call in CALLS
        .iter()
        .filter(|call| !["counters()", "worker_state(0)"].contains(call))
    {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
    }
}

/// Their columns are read by number and type: on another table they would read what is not there.
#[test]
fn the_trigger_functions_run_on_no_other_table() {
    let database = own_database();
    let mut client = database.connect();
    client.run(
        "CREATE TABLE public.other (a bytea, b bigint, c timestamptz, d timestamptz, e interval, f interval, g bigint)",
    );
    client.run(
        "CREATE TRIGGER planted AFTER DELETE ON public.other FOR EACH ROW \
         EXECUTE FUNCTION session_timeout.session_after_delete()",
    );
    client.run("INSERT INTO public.other VALUES (sha256('x'), 4096, now(), now(), NULL, NULL, 1)");
    let refused = session_timeout_tests::error_of(client.batch_execute("DELETE FROM public.other"));
    client.run("DROP TABLE public.other");
    assert_eq!(refused.sqlstate, "39P01");
}

/// Nor on a foreign table, whose rows are another server's: they would be read there as sessions, and written here.
#[test]
fn the_trigger_functions_run_on_no_foreign_table() {
    const FUNCTIONS: [&str; 5] = [
        "session_before_write",
        "session_after_delete",
        "session_before_truncate",
        "parameter_before_write",
        "parameter_after_change",
    ];
    let database = own_database();
    let mut client = database.connect();
    let columns = "(digest bytea, user_name text, opened_at timestamptz, last_activity timestamptz, \
                   idle_delay interval, absolute_delay interval, version bigint)";
    let available = "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'";
    if client.value::<i64>(available, &[]) == 0 {
        // Debian's packages have it; a PostgreSQL built without its contrib modules does not.
        eprintln!("not tested: there is no postgres_fdw");
        return;
    }
    client.run("CREATE EXTENSION postgres_fdw");
    let socket: String = client.value("SELECT current_setting('unix_socket_directories')", &[]);
    client.run(&format!(
        "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{socket}', dbname '{}');
         CREATE USER MAPPING FOR postgres SERVER there OPTIONS (user 'postgres');
         CREATE TABLE public.far {columns};
         CREATE FOREIGN TABLE public.near {columns} SERVER there OPTIONS (schema_name 'public', table_name 'far')",
        database.name()
    ));
    let row = "(sha256('x'), 'somebody', now(), now(), NULL, NULL, 1)";
    client.run(&format!("INSERT INTO public.far VALUES {row}"));
    let insert = format!("INSERT INTO public.near VALUES {row}");
    let ours = "SELECT (SELECT count(*) FROM session_timeout.session) + \
                (SELECT count(*) FROM session_timeout.session_event)";
    for function in FUNCTIONS {
        for (timing, statement) in [
            ("BEFORE INSERT", insert.as_str()),
            ("BEFORE UPDATE", "UPDATE public.near SET version = 2"),
            ("AFTER DELETE", "DELETE FROM public.near"),
        ] {
            for level in ["ROW", "STATEMENT"] {
                client.run(&format!(
                    "CREATE TRIGGER planted {timing} ON public.near FOR EACH {level} \
                     EXECUTE FUNCTION session_timeout.{function}()"
                ));
                let refused = session_timeout_tests::error_of(client.batch_execute(statement));
                assert_eq!(refused.sqlstate, "39P01", "{function} {timing} {level}");
                client.run("DROP TRIGGER planted ON public.near");
            }
        }
    }
    assert_eq!(client.value::<i64>(ours, &[]), 0);
    let there = "SELECT count(*) FROM public.far WHERE version = 1";
    assert_eq!(client.value::<i64>(there, &[]), 1);
}
