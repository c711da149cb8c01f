//! A server whose clock is set back: what it recorded before keeps no session valid for longer.

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::{Shutdown, eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET, and};
use crate::support::{SOON, SessionCalls, new_sid, wait_until_flushed, wait_until_gone, wait_until_nothing_is_due};

const A_DAY: i64 = 24 * 60 * 60;

#[test]
fn sessions_used_before_the_clock_was_set_back_end_after_one_delay() {
    let server = preloaded::builder().own_clock().start();
    server.set_clock(A_DAY);
    let database = preloaded::database_on(&server, "set_back", &and(QUICK, (param::DELAY, "10 seconds")));
    let mut client = database.connect();
    let [written, unwritten, used, never_checked] = [(); 4].map(|()| new_sid());
    for sid in [&written, &unwritten, &used, &never_checked] {
        client.open(sid);
    }
    let touched = client.verdict(&written).last_activity.expect("an activity");
    assert!(touched > Utc::now(), "the server has a clock of its own");
    wait_until_flushed(&mut client, &written, touched);
    for sid in [&unwritten, &used] {
        assert!(client.check(sid));
    }
    server.set_clock(0);
    assert!(client.check(&used));
    for sid in [&written, &unwritten, &used, &never_checked] {
        eventually("its clocks are set to now", SOON, || {
            let row = client.stored(sid).expect("a row");
            row.last_activity <= Utc::now() && row.opened_at <= Utc::now()
        });
    }
    for sid in [&written, &unwritten, &never_checked] {
        eventually("it is expired, while another is used", SOON, || {
            assert!(client.check(&used));
            client.stored(sid).is_none()
        });
        assert_eq!(client.event_kinds(sid), ["idle_expired"]);
        assert!(!client.check(sid));
    }
    wait_until_gone(&mut client, &used);
}

#[test]
fn a_session_older_than_the_set_back_clock_is_as_old_as_since_then() {
    let server = preloaded::builder().own_clock().start();
    server.set_clock(A_DAY);
    let database = preloaded::database_on(&server, "young", &and(QUICK, (param::ABSOLUTE_DELAY, "5 seconds")));
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    server.set_clock(0);
    eventually("it is too old", SOON, || !client.check(&sid));
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["absolute_expired"]);
}

#[test]
fn a_clean_restart_with_a_clock_set_back_keeps_no_session_valid() {
    let server = preloaded::builder().own_clock().start();
    server.set_clock(A_DAY);
    let database = preloaded::database_on(&server, "restarted", &and(QUIET, (param::DELAY, "5 seconds")));
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    assert!(client.check(&sid));
    drop(client);
    server.set_clock(0);
    server.restart(Shutdown::Fast);
    let mut client = database.connect();
    database.set_params(&QUICK);
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

/// The flush has written activity of a clock that was ahead; the purge has seen the row only before.
#[test]
fn a_clock_set_back_since_the_last_purge_is_noticed() {
    let server = preloaded::builder().own_clock().start();
    let database = preloaded::database_on(&server, "noticed", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    wait_until_nothing_is_due(&mut client);
    server.set_clock(600);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    server.set_clock(0);
    eventually("its clock is set to now", SOON, || {
        client.stored(&sid).expect("a row").last_activity <= Utc::now()
    });
}
