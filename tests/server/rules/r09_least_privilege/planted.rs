//! Objects that somebody has planted, to be run or found by the install, a function or a trigger.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, shared};

use super::{CALLS, login};
use crate::support::{SessionCalls, refusal};

#[test]
fn a_planted_schema_is_refused_and_the_install_leaves_nothing() {
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
fn planted_functions_and_operators_are_called_by_no_function_of_ours() {
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
fn planted_functions_and_operators_are_called_by_no_trigger_or_view_of_ours() {
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
