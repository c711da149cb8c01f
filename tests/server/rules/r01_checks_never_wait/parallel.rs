//! Checks in a parallel worker, and in a transaction that is in a parallel operation.

use session_timeout_tests::shared;

use crate::support::{SessionCalls, new_sid, outcome, own_database};

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
fn a_check_within_a_parallel_worker_answers() {
    let database = own_database();
    let (mut app, open, expired) = (database.connect(), new_sid(), new_sid());
    app.open(&open);
    app.has_been_idle(&open, "1 hour");
    app.open(&expired);
    app.has_been_idle(&expired, "3 hours");
    app.run(
        "CREATE FUNCTION mislabelled(sid text) RETURNS text LANGUAGE sql PARALLEL SAFE AS \
         'SELECT pg_backend_pid() || '' '' || session_timeout.check_session(sid)'",
    );
    let setting: &str = match app.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) {
        ..160_000 => "force_parallel_mode",
        _ => "debug_parallel_query",
    };
    app.run(&format!("SET {setting} = on"));
    let pid: i32 = app.value("SELECT pg_backend_pid()", &[]);
    for (sid, expected) in [(&open, "true"), (&expired, "false")] {
        let seen: String = app.value("SELECT mislabelled($1)", &[sid]);
        let (worker, answer) = seen.split_once(' ').expect("two words");
        assert_ne!(worker, pid.to_string(), "it ran in a worker");
        assert_eq!(answer, expected);
    }
}
