//! What a check reads: the newest commit, and nothing that another transaction would conflict with.

use crate::support::{ISOLATION_LEVELS, InFlight, SessionCalls, app, new_sid, own_database};

#[test]
fn a_check_sees_that_a_session_was_closed_since_its_transaction_began() {
    for isolation in ISOLATION_LEVELS {
        let (mut app, mut other, sid) = (app(), app(), new_sid());
        app.open(&sid);
        app.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert!(app.check(&sid));
        other.close_sid(&sid);
        assert!(!app.check(&sid), "{isolation}");
    }
}

#[test]
fn a_check_sees_that_a_session_was_opened_since_its_transaction_began() {
    for isolation in ISOLATION_LEVELS {
        let (mut app, mut other, sid) = (app(), app(), new_sid());
        app.run(&format!("BEGIN ISOLATION LEVEL {isolation}"));
        assert!(!app.check(&sid));
        other.open(&sid);
        assert!(app.check(&sid), "{isolation}");
    }
}

#[test]
fn a_check_sees_that_a_session_was_closed_since_its_statement_began() {
    let (mut app, mut other, sid) = (app(), app(), new_sid());
    app.open(&sid);
    // The statement waits, once it has begun and before its check, until the other has closed the session.
    let lock = format!("hashtext('{sid}')");
    other.run(&format!("SELECT pg_advisory_lock({lock})"));
    let sql = format!(
        "SELECT session_timeout.check_session('{sid}') FROM (SELECT pg_advisory_lock({lock}) OFFSET 0) AS meanwhile"
    );
    let checking = InFlight::start(app, move |client| client.value(&sql, &[]));
    checking.is_waiting(&mut other);
    assert!(other.close_sid(&sid));
    other.run(&format!("SELECT pg_advisory_unlock({lock})"));
    let seen: bool = checking.answer();
    assert!(!seen);
}

/// How many predicate locks the connection holds.
fn predicate_locks(of: &mut impl SessionCalls) -> i64 {
    let pid: i32 = of.value("SELECT pg_backend_pid()", &[]);
    app().value(
        "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = $1",
        &[&pid],
    )
}

/// Runs `call`, with a sid in `$1`, in a SERIALIZABLE transaction: how many predicate locks that takes.
fn predicate_locks_of(call: &str, idle: &str) -> i64 {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, idle);
    app.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    app.write(call, &[&sid]);
    predicate_locks(&mut app)
}

#[test]
fn a_check_takes_no_predicate_locks() {
    for (found, idle) in [
        ("valid", "1 second"),
        ("to be touched", "1 hour"),
        ("expired", "3 hours"),
    ] {
        for call in ["check_session", "session_verdict", "peek_session"] {
            let locks = predicate_locks_of(&format!("SELECT session_timeout.{call}($1)"), idle);
            assert_eq!(locks, 0, "{call}, {found}");
        }
    }
}

#[test]
fn a_plain_query_takes_predicate_locks_as_a_check_does_not() {
    let query = "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";
    assert_ne!(predicate_locks_of(query, "1 second"), 0);
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
