//! A connection that ends before its commit, in its midst, or after it.

use session_timeout_tests::eventually;
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUIET};
use crate::support::{InFlight, NOTE, SOON, SessionCalls, figure, hang_in_commit, let_go, new_sid};

/// Ends a connection, and waits until it is gone.
fn end(client: &mut Client, pid: i32) {
    assert!(client.value::<bool>("SELECT pg_terminate_backend($1)", &[&pid]));
    eventually("the connection is gone", SOON, || {
        client.value::<i64>("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", &[&pid]) == 0
    });
}

/// Checks answer from memory: no session is left being invalidated.
#[track_caller]
fn nothing_is_being_invalidated(client: &mut Client, sid: &str) {
    client.check(sid);
    let before = figure(client, "invalidating");
    client.check(sid);
    assert_eq!(figure(client, "invalidating"), before);
}

#[test]
fn a_close_cut_off_before_its_commit_leaves_the_session_and_no_invalidation() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "cut_before", &QUIET);
    let mut client = database.connect();
    let (sid, note) = (new_sid(), new_sid());
    client.open(&sid);
    assert!(client.check(&sid));
    // Whoever sends a notice waits for the commit of whoever has sent one before: the session is being invalidated by then.
    let hanging = hang_in_commit(&database, NOTE, &note);
    let closing = InFlight::start(database.connect(), {
        let sid = sid.clone();
        move |client: &mut Client| {
            let _ = client.execute("SELECT session_timeout.close_session($1)", &[&sid]);
        }
    });
    closing.is_waiting(&mut client);
    let before = figure(&mut client, "invalidating");
    assert!(client.check(&sid));
    assert_eq!(figure(&mut client, "invalidating"), before + 1);
    end(&mut client, closing.pid());
    closing.answer();
    assert!(client.check(&sid));
    nothing_is_being_invalidated(&mut client, &sid);
    let_go(&mut client, hanging);
}

#[test]
fn a_close_cut_off_after_its_commit_counts_and_ends_the_invalidation() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "cut_after", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    assert!(client.check(&sid));
    let closing = InFlight::start(database.connect(), {
        let sid = sid.clone();
        move |client: &mut Client| {
            client.run("SET synchronous_commit = on");
            let _ = client.execute("SELECT session_timeout.close_session($1)", &[&sid]);
        }
    });
    eventually("its commit waits", SOON, || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'";
        client.value::<i64>(sql, &[&closing.pid()]) == 1
    });
    end(&mut client, closing.pid());
    closing.answer();
    assert!(!client.check(&sid));
    nothing_is_being_invalidated(&mut client, &sid);
}

#[test]
fn a_close_whose_connection_idles_out_leaves_the_session_and_no_invalidation() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "cut_idle", &QUIET);
    let (mut client, mut closer) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let pid: i32 = closer.value("SELECT pg_backend_pid()", &[]);
    closer.run("SET idle_in_transaction_session_timeout = '100ms'; BEGIN");
    assert!(closer.close_sid(&sid));
    eventually("the connection is gone", SOON, || {
        client.value::<i64>("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", &[&pid]) == 0
    });
    assert!(client.check(&sid));
    nothing_is_being_invalidated(&mut client, &sid);
}
