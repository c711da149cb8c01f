//! Expiry and closes of sessions for which the registry has no room.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, clogged, new_sid, open_expired, wait_until_gone};

#[test]
fn an_expiry_found_in_a_full_registry_outlasts_a_raised_delay() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "full_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    let mut holder = clogged(&mut client, database.connect());
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid));
    holder.run("ROLLBACK");
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_session_beyond_the_registry_that_is_closed_is_closed() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "full_close", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let mut holder = clogged(&mut client, database.connect());
    assert!(other.check(&sid));
    holder.run("ROLLBACK; BEGIN");
    client.run("BEGIN");
    client.close_sid(&sid);
    assert!(other.check(&sid));
    client.run("COMMIT");
    assert!(!other.check(&sid));
}

#[test]
fn expiries_without_room_are_final_until_their_rows_are_deleted() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "roomless", &QUIET);
    let mut client = database.connect();
    let expired: Vec<String> = (0..20).map(|_| new_sid()).collect();
    let (idle, fresh, later) = (new_sid(), new_sid(), new_sid());
    for sid in &expired {
        open_expired(&mut client, sid);
    }
    client.open(&idle);
    client.has_been_idle(&idle, "150 minutes");
    client.open(&fresh);
    let mut holder = clogged(&mut client, database.connect());
    for sid in &expired {
        assert_eq!(client.verdict(sid).status, "idle_expired");
    }
    client.set_param(param::DELAY, Some("1 day"));
    for sid in &expired {
        assert!(!client.check_url(sid, "/websocket"));
        assert_eq!(client.peek(sid).status, "idle_expired");
        let active = "SELECT count(*) FROM session_timeout.active_session \
                      WHERE digest = session_timeout.session_digest($1)";
        assert_eq!(client.value::<i64>(active, &[sid]), 0);
    }
    assert!(client.check(&idle), "idle for a shorter time, and nobody had asked");
    assert!(client.check(&fresh));
    holder.run("ROLLBACK");
    for sid in &expired {
        wait_until_gone(&mut client, sid);
    }
    client.open(&later);
    client.has_been_idle(&later, "4 hours");
    eventually("only the parameters count", SOON, || client.peek(&later).valid);
}
