//! Commits that take their time, and those that are cut off: what checks answer meanwhile and afterwards, and whom the
//! worker waits for.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{
    InFlight, SOON, SessionCalls, figure, hang_in_commit, heard, let_go, listener, new_sid, open_expired,
    wait_until_gone,
};

#[test]
fn an_expiry_found_while_the_session_is_being_changed_stands_when_the_delay_is_raised() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "flux_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    let rename = "UPDATE session_timeout.session SET user_name = 'renamed' \
                  WHERE digest = session_timeout.session_digest($1)";
    let hanging = hang_in_commit(&database, rename, &sid);
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid), "before the change has returned");
    let_go(&mut client, hanging);
    assert!(!client.check(&sid), "after it");
}

#[test]
fn an_expiry_found_while_another_session_is_being_opened_stands_when_the_delay_is_raised() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "login_expiry", &QUIET);
    let mut client = database.connect();
    let (sid, other) = (new_sid(), new_sid());
    open_expired(&mut client, &sid);
    let hanging = hang_in_commit(&database, "SELECT session_timeout.open_session($1)", &other);
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid), "before the login has returned");
    let_go(&mut client, hanging);
    assert!(!client.check(&sid), "after it");
}

#[test]
fn activity_is_kept_while_another_session_is_being_opened() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "login_touch", &QUIET);
    let mut client = database.connect();
    let (sid, other) = (new_sid(), new_sid());
    client.open(&sid);
    let hanging = hang_in_commit(&database, "SELECT session_timeout.open_session($1)", &other);
    let touched = client.verdict(&sid).last_activity;
    let_go(&mut client, hanging);
    assert_eq!(client.peek(&sid).last_activity, touched);
}

#[test]
fn a_close_whose_commit_takes_its_time_counts_when_it_returns() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "slow_close", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    assert!(client.check(&sid));
    let hanging = hang_in_commit(&database, "SELECT session_timeout.close_session($1)", &sid);
    assert!(client.check(&sid));
    let_go(&mut client, hanging);
    assert!(!client.check(&sid));
}

/// Sends a notice, and writes something, without which no commit waits.
const NOTE: &str = "SELECT pg_notify('anything', ''), session_timeout.set_param('note', $1)";

// ---- A connection that is ended -----------------------------------------------------------------------------------------

/// Ends a connection, and waits until it is gone.
fn end(client: &mut Client, pid: i32) {
    assert!(client.value::<bool>("SELECT pg_terminate_backend($1)", &[&pid]));
    eventually("the connection is gone", SOON, || {
        client.value::<i64>("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", &[&pid]) == 0
    });
}

/// Checks answer from memory: nothing is left in flux.
#[track_caller]
fn nothing_is_in_flux(client: &mut Client, sid: &str) {
    client.check(sid);
    let before = figure(client, "in_flux");
    client.check(sid);
    assert_eq!(figure(client, "in_flux"), before);
}

#[test]
fn a_close_that_is_cut_off_before_its_commit_leaves_the_session_and_no_flux() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "cut_before", &QUIET);
    let mut client = database.connect();
    let (sid, note) = (new_sid(), new_sid());
    client.open(&sid);
    assert!(client.check(&sid));
    // Whoever sends a notice waits for the commit of whoever has sent one before: in flux by then.
    let hanging = hang_in_commit(&database, NOTE, &note);
    let closing = InFlight::start(database.connect(), {
        let sid = sid.clone();
        move |client: &mut Client| {
            let _ = client.execute("SELECT session_timeout.close_session($1)", &[&sid]);
        }
    });
    closing.is_waiting(&mut client);
    let before = figure(&mut client, "in_flux");
    assert!(client.check(&sid));
    assert_eq!(figure(&mut client, "in_flux"), before + 1);
    end(&mut client, closing.pid());
    closing.answer();
    assert!(client.check(&sid));
    nothing_is_in_flux(&mut client, &sid);
    let_go(&mut client, hanging);
}

#[test]
fn a_close_that_is_cut_off_after_its_commit_counts_and_leaves_no_flux() {
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
    nothing_is_in_flux(&mut client, &sid);
}

#[test]
fn a_close_whose_connection_idles_out_leaves_the_session_and_no_flux() {
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
    nothing_is_in_flux(&mut client, &sid);
}

// ---- The worker ---------------------------------------------------------------------------------------------------------

#[test]
fn the_worker_waits_for_no_commit_of_another_that_has_sent_a_notice() {
    let server = preloaded::small();
    let elsewhere = preloaded::database_on_small(&server, "elsewhere", &QUIET);
    let database = preloaded::database_on_small(&server, "notices", &QUIET);
    let (mut client, note) = (database.connect(), new_sid());
    let mut ear = listener(&database);
    let (first, second) = (new_sid(), new_sid());
    let hanging = hang_in_commit(&elsewhere, NOTE, &note);
    open_expired(&mut client, &first);
    assert!(!client.check(&first));
    wait_until_gone(&mut client, &first);
    assert_eq!(client.event_kinds(&first), ["idle_expired"]);
    let_go(&mut elsewhere.connect(), hanging);
    // The next one is told of.
    open_expired(&mut client, &second);
    assert!(!client.check(&second));
    wait_until_gone(&mut client, &second);
    let digest = crate::support::hex_digest(&second);
    eventually("its notice", SOON, || {
        heard(&mut ear, &database).iter().any(|notice| notice.contains(&digest))
    });
}

/// DROP DATABASE itself waits for every process, whatever database that is in, and so for the one that hangs.
#[test]
fn a_database_is_renamed_though_a_commit_elsewhere_hangs_after_its_notice() {
    let server = preloaded::small();
    let elsewhere = preloaded::database_on_small(&server, "rename_elsewhere", &QUIET);
    let renamed = preloaded::database_on_small(&server, "rename_notices", &and(QUIET, (param::PURGE_INTERVAL, "1")));
    let name = renamed.name().to_owned();
    let hanging = hang_in_commit(&elsewhere, NOTE, &new_sid());
    for _ in 0..3 {
        let sid = new_sid();
        let mut client = renamed.connect();
        open_expired(&mut client, &sid);
        assert!(!client.check(&sid));
    }
    eventually("a worker comes", SOON, || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'session_timeout worker' AND datname = $1";
        server.connect().value::<i64>(sql, &[&name]) > 0
    });
    server.execute(&format!("ALTER DATABASE {name} RENAME TO {name}_new"));
    server.execute(&format!("ALTER DATABASE {name}_new RENAME TO {name}"));
    let_go(&mut elsewhere.connect(), hanging);
}
