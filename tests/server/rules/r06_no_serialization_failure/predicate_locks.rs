//! No function takes a predicate lock, with preload or without.

use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, app, new_sid, open_expired};

#[test]
fn a_check_takes_no_predicate_lock() {
    const HELD: &str = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid()";
    let database = preloaded::database("no_siread", &QUIET);
    let (sid, loaded, expired) = (new_sid(), new_sid(), new_sid());
    let mut client = database.connect();
    client.open(&sid);
    client.open(&loaded);
    assert!(client.check(&loaded));
    open_expired(&mut client, &expired);
    // A backend that has to read the parameters too.
    let mut client = database.connect();
    client.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    for sid in [&sid, &loaded, &expired, &new_sid()] {
        client.check(sid);
        client.verdict(sid);
        client.peek(sid);
    }
    assert_eq!(client.value::<i64>(HELD, &[]), 0);
    // The control: a read of the table takes them.
    client.stored(&sid);
    assert!(client.value::<i64>(HELD, &[]) > 0);
}

#[test]
fn no_function_takes_a_predicate_lock() {
    const HELD: &str = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid()";
    let database = preloaded::database("no_siread_writes", &QUIET);
    let mut client = database.connect();
    client.open("closed");
    assert!(client.close_sid("closed"));
    open_expired(&mut client, "expired");
    client.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    for call in [
        "open_session('a', 'user')",
        "rotate_session('a', 'b')",
        "close_session('b')",
        "close_user_sessions('user')",
        "purge_sessions()",
        "flush_sessions()",
        "set_param('mine', '1')",
        "get_param('mine')",
    ] {
        client.run(&format!("SELECT session_timeout.{call}"));
        assert_eq!(client.value::<i64>(HELD, &[]), 0, "{call}");
    }
    client.run("COMMIT");
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
fn without_preload_a_check_takes_no_predicate_lock() {
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
