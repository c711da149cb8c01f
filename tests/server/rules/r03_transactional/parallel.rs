//! Changes in parallel operations.

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{param, shared};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, assert_known, idle_for_a_while, refusal, three_connections, touch};

/// A parallel worker sees what its leader has changed, and has nowhere to keep that apart.
#[test]
fn a_parallel_worker_records_nothing_that_its_leader_has_not_committed() {
    let database = preloaded::database("parallel", &QUIET);
    let (mut changer, mut other, _) = three_connections(&database);
    changer.run(
        "CREATE FUNCTION public.mislabelled(sid text) RETURNS text PARALLEL SAFE LANGUAGE plpgsql AS $$ BEGIN
             RETURN pg_backend_pid() || ' ' || (session_timeout.session_verdict(sid)).status;
         END $$",
    );
    let _ = changer
        .batch_execute("SET force_parallel_mode = on")
        .or_else(|_| changer.batch_execute("SET debug_parallel_query = on"));
    let pid: i32 = changer.value("SELECT pg_backend_pid()", &[]);
    let ask = |client: &mut Client, sid: &str, expected: &str| {
        let answer: String = client.value("SELECT public.mislabelled($1)", &[&sid]);
        let (by, status) = answer.split_once(' ').expect("two words");
        assert_ne!(by, pid.to_string(), "it ran in a worker");
        assert_eq!(status, expected);
    };
    // By a parameter.
    let sid = idle_for_a_while(&mut changer);
    changer.run("BEGIN");
    changer.set_param(param::DELAY, Some("1 hour"));
    ask(&mut changer, &sid, "idle_expired");
    changer.run("ROLLBACK");
    assert!(other.check(&sid), "a parameter that was rolled back expired it");
    // By a row: what is in memory of the session as others see it stays.
    let touched = touch(&mut other, &sid);
    changer.run("BEGIN");
    changer.has_been_idle(&sid, "3 hours");
    ask(&mut changer, &sid, "idle_expired");
    changer.run("ROLLBACK");
    assert_known(&mut other, &sid, touched);
    // A leader that has changed nothing: its workers check as anybody does.
    let sid = idle_for_a_while(&mut changer);
    ask(&mut changer, &sid, "active");
    let idle = Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert!(idle < session_timeout_tests::chrono::TimeDelta::minutes(1), "{idle}");
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
