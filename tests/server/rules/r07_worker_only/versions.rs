//! The worker writes and deletes only the version of a session that it means.

use std::thread;
use std::time::Duration;

use session_timeout_tests::{param, stays};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SessionCalls, new_sid, wait_for_passes, wait_until_flushed};

#[test]
fn a_login_while_the_worker_deletes_the_old_session_lives() {
    const SESSIONS: usize = 120;
    const ROUNDS: usize = 5;
    let database = preloaded::database("reopened", &QUICK);
    let mut admin = database.connect();
    let sids: Vec<String> = (0..SESSIONS).map(|_| new_sid()).collect();
    for sid in &sids {
        admin.open(sid);
    }
    for _ in 0..ROUNDS {
        admin.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
        let reopen = |sids: Vec<String>| {
            let mut client = database.connect();
            thread::spawn(move || {
                for sid in &sids {
                    assert!(!client.check(sid), "an expired session");
                }
                // Spread over the time in which the worker comes.
                for sid in &sids {
                    client.open(sid);
                    assert!(client.check(sid), "a session after a new login");
                    thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let threads: Vec<_> = sids.chunks(SESSIONS / 2).map(|half| reopen(half.to_vec())).collect();
        for thread in threads {
            thread.join().expect("no session is lost");
        }
    }
    wait_for_passes(&mut admin, 2);
    for sid in &sids {
        assert!(admin.check(sid));
        assert_eq!(admin.event_kinds(sid), ["idle_expired"; ROUNDS]);
    }
}

#[test]
fn a_flush_keeps_the_version_of_the_login() {
    let database = preloaded::database("flush", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let opened = client.stored(&sid).expect("a row");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    let row = client.stored(&sid).expect("a row");
    assert_eq!(row.last_activity, touched);
    assert_eq!((row.version, row.opened_at), (opened.version, opened.opened_at));
    assert_eq!(client.peek(&sid).last_activity, Some(touched));
}

#[test]
fn activity_in_memory_keeps_the_purge_from_its_row() {
    // The row says all the time that it is past its own limit.
    let params = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1")];
    let database = preloaded::database("purge_active", &params);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("3 s"), None);
    stays("it is valid", Duration::from_secs(6), || client.check(&sid));
    assert_eq!(client.event_kinds(&sid), [""; 0]);
    let behind = client.peek(&sid).last_activity > client.stored(&sid).map(|row| row.last_activity);
    assert!(behind, "the row was written");
}
