//! Sessions that were found expired stay expired over a restart.

use session_timeout_tests::{Shutdown, eventually, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, clogged, connect_again, new_sid, open_expired, wait_until_gone};

#[test]
fn an_expired_session_stays_expired_over_a_restart_and_a_raised_delay() {
    let server = preloaded::builder().start();
    let database = server.database("expired");
    database.set_params(&[(param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    for n in 0..5 {
        client.open(&format!("sid-{n}"));
        client.has_been_idle(&format!("sid-{n}"), "3 hours");
        // The worker leaves a row that others hold: only the expired flag says that it is expired.
        let mut holder = database.connect();
        holder.run("BEGIN; SELECT 1 FROM session_timeout.session FOR UPDATE");
        assert!(!client.check(&format!("sid-{n}")));
        drop(client);
        server.stop(Shutdown::Fast);
        server.start();
        client = connect_again(&database.config());
        client.set_param(param::DELAY, Some("1 day"));
        assert!(!client.check(&format!("sid-{n}")), "expired, then valid");
        client.set_param(param::DELAY, Some("7200"));
        eventually("its row goes", SOON, || client.stored(&format!("sid-{n}")).is_none());
        assert_eq!(client.event_kinds(&format!("sid-{n}")), ["idle_expired"]);
    }
}

/// Twenty sessions are found expired that the registry has no room to say so of, as all of it is dirty and the table is locked.
#[test]
fn expiries_without_room_are_final_over_a_restart() {
    let server = preloaded::builder()
        .setting("session_timeout.max_sessions", "100")
        .start();
    let database = preloaded::database_on(&server, "roomless_restart", &QUIET);
    let mut client = database.connect();
    let expired: Vec<String> = (0..20).map(|_| new_sid()).collect();
    for sid in &expired {
        open_expired(&mut client, sid);
    }
    let _holder = clogged(&mut client, database.connect());
    for sid in &expired {
        assert!(!client.check(sid));
    }
    client.set_param(param::DELAY, Some("1 day"));
    server.stop(Shutdown::Fast);
    server.start();
    let mut client = connect_again(&database.config());
    for sid in &expired {
        assert!(!client.check(sid));
    }
    for sid in &expired {
        wait_until_gone(&mut client, sid);
    }
}
