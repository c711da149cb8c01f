//! The trigger functions run on the extension's tables and on no other.

use crate::support::{SessionCalls, own_database};

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
