//! The purge skips pages on which nothing can have expired, and misses no change that nobody has checked since. Where nothing
//! can have expired, no worker comes.

use std::mem;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, connect_again, last_pass, new_sid, preloaded, wait_for_passes, wait_until_flushed,
    wait_until_gone, wait_until_nothing_is_due,
};

/// Opens that many sessions with the limits of the parameters.
fn fill(client: &mut Client, sessions: i32) {
    let sql = "SELECT session_timeout.open_session('filling ' || n) FROM generate_series(1, $1) AS n";
    client.write(sql, &[&sessions]);
}

/// The page of a session's row.
fn page(client: &mut Client, sid: &str) -> i64 {
    let sql = "SELECT split_part(trim('()' FROM ctid::text), ',', 1)::bigint \
               FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";
    client.value(sql, &[&sid])
}

/// How many rows and dead tuples purges have read.
fn tuples_read(client: &mut Client) -> i64 {
    // The worker has reported what it read when it is gone.
    eventually("the worker is gone", SOON, || {
        client.value(
            "SELECT count(*) = 0 FROM pg_stat_activity \
             WHERE backend_type = 'session_timeout worker' AND datname = current_database()",
            &[],
        )
    });
    client.value(
        "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'session'",
        &[],
    )
}

#[test]
fn where_nothing_can_be_due_no_worker_comes() {
    let (idle, busy) = (
        preloaded::database("idle_database", &QUICK),
        preloaded::database("busy_database", &QUICK),
    );
    let (mut here, mut there) = (idle.connect(), busy.connect());
    fill(&mut here, 10);
    wait_until_nothing_is_due(&mut here);
    let before = last_pass(&mut here);
    wait_for_passes(&mut there, 3);
    assert_eq!(last_pass(&mut here), before);
    // It comes when something is due.
    let sid = new_sid();
    here.open_limited(&sid, Some("2 seconds"), None);
    wait_until_gone(&mut here, &sid);
}

#[test]
fn a_purge_reads_the_pages_in_which_something_can_be_due() {
    let database = preloaded::database("purge_reads", &QUICK);
    let mut client = database.connect();
    fill(&mut client, 5_000);
    wait_until_nothing_is_due(&mut client);
    let before = tuples_read(&mut client);
    assert!(before >= 5_000, "{before} tuples were read for the first bounds");
    let sid = new_sid();
    client.open_limited(&sid, Some("1 second"), None);
    wait_until_gone(&mut client, &sid);
    wait_until_nothing_is_due(&mut client);
    let tuples = tuples_read(&mut client) - before;
    assert!((1..1_000).contains(&tuples), "{tuples} tuples were read");
}

/// PostgreSQL's numbers of the files are the same in a copy.
#[test]
fn a_database_and_its_copy_do_not_make_each_other_read_pages() {
    let server = preloaded::builder().start();
    let original = preloaded::database_on(&server, "original", &QUICK);
    let mut client = original.connect();
    fill(&mut client, 5_000);
    wait_until_nothing_is_due(&mut client);
    drop(client);
    server.execute(&format!("CREATE DATABASE copy TEMPLATE {}", original.name()));
    let mut clients = [original.connect(), connect_again(&server.config("copy"))];
    clients.iter_mut().for_each(wait_until_nothing_is_due);
    for _ in 0..2 {
        for client in &mut clients {
            let before = tuples_read(client);
            wait_for_passes(client, 1);
            wait_until_nothing_is_due(client);
            let tuples = tuples_read(client) - before;
            assert!(tuples < 1_000, "{tuples} tuples were read");
        }
    }
}

#[test]
fn a_session_that_was_rotated_to_another_page_is_purged() {
    let database = preloaded::database("purge_rotated", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let mut sid = new_sid();
    client.open_limited(&sid, Some("8 seconds"), None);
    let first = page(&mut client, &sid);
    fill(&mut client, 500);
    // What it sees stays on the page.
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM session_timeout.session");
    // Every page has a bound.
    wait_for_passes(&mut client, 1);
    eventually("the session is on another page", SOON, || {
        let old = mem::replace(&mut sid, new_sid());
        assert!(client.rotate(&old, &sid));
        page(&mut client, &sid) != first
    });
    other.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_login_that_commits_late_is_purged() {
    let database = preloaded::database("purge_late", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.run("BEGIN");
    client.open_limited(&sid, Some("5 seconds"), None);
    // Purges that cannot see it read its page.
    wait_for_passes(&mut other, 2);
    client.run("COMMIT");
    wait_until_gone(&mut other, &sid);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_whose_deletion_was_rolled_back_is_purged() {
    let database = preloaded::database("purge_kept", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let (closed, deleted) = (new_sid(), new_sid());
    for sid in [&closed, &deleted] {
        client.open_limited(sid, Some("5 seconds"), None);
    }
    client.run("BEGIN");
    assert!(client.close_sid(&closed));
    client.write(
        "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
        &[&deleted],
    );
    wait_for_passes(&mut other, 2);
    client.run("ROLLBACK");
    for sid in [&closed, &deleted] {
        wait_until_gone(&mut client, sid);
        assert_eq!(client.event_kinds(sid), ["idle_expired"]);
    }
}

#[test]
fn a_session_whose_limits_were_shortened_is_purged() {
    let database = preloaded::database("purge_shortened", &QUICK);
    let mut client = database.connect();
    let (by_parameter, by_hand) = (new_sid(), new_sid());
    client.open(&by_parameter);
    client.open_limited(&by_hand, Some("1 day"), None);
    wait_until_nothing_is_due(&mut client);
    client.set_param(param::DELAY, Some("1"));
    wait_until_gone(&mut client, &by_parameter);
    wait_until_nothing_is_due(&mut client);
    client.run("UPDATE session_timeout.session SET idle_delay = '1 second'");
    wait_until_gone(&mut client, &by_hand);
}

#[test]
fn a_session_in_a_rewritten_table_is_purged() {
    let database = preloaded::database("purge_rewritten", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    // The first page is full of others, which end, so that the rewrite moves the session to it.
    fill(&mut client, 100);
    client.open_limited(&sid, Some("8 seconds"), None);
    client.run("DELETE FROM session_timeout.session WHERE user_name IS NULL AND idle_delay IS NULL AND ctid < '(1,0)'");
    wait_for_passes(&mut client, 1);
    assert_ne!(page(&mut client, &sid), 0);
    client.run("VACUUM FULL session_timeout.session");
    assert_eq!(page(&mut client, &sid), 0);
    wait_until_gone(&mut client, &sid);
}

/// A flush leaves a row on its page as long as that has room.
#[test]
fn a_session_that_a_flush_moved_to_another_page_is_purged() {
    let database = preloaded::database("purge_flushed", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open_limited(&sid, Some("8 seconds"), None);
    let first = page(&mut client, &sid);
    fill(&mut client, 500);
    // What it sees stays on the page.
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM session_timeout.session");
    // Every page has a bound.
    client.set_param(param::PURGE_INTERVAL, Some("1"));
    wait_for_passes(&mut client, 2);
    eventually("the flush has moved the row", SOON, || {
        assert!(client.check(&sid));
        client.run("SELECT session_timeout.flush_sessions()");
        page(&mut client, &sid) != first
    });
    other.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_that_nobody_ever_checked_is_purged() {
    let database = preloaded::database("never_checked", &QUICK);
    let mut client = database.connect();
    let (sid, old, lasting) = (new_sid(), new_sid(), new_sid());
    client.open_limited(&sid, Some("300 ms"), None);
    client.open_limited(&old, None, Some("300 ms"));
    client.open(&lasting);
    wait_until_gone(&mut client, &sid);
    wait_until_gone(&mut client, &old);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
    assert_eq!(client.event_kinds(&old), ["absolute_expired"]);
    assert!(client.stored(&lasting).is_some());
}

#[test]
fn a_session_set_back_by_hand_and_never_checked_again_is_purged() {
    let database = preloaded::database("purge_set_back", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    wait_until_nothing_is_due(&mut client);
    client.has_been_idle(&sid, "3 hours");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_with_a_re_login_and_never_checked_again_is_purged() {
    let database = preloaded::database("purge_reopened", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    wait_until_nothing_is_due(&mut client);
    client.open_limited(&sid, Some("300 ms"), None);
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

/// The registry knows the login before, and nobody has checked the new one.
#[test]
fn a_session_changed_and_never_checked_since_is_purged() {
    let server = preloaded::builder().start();
    let database = server.database("again");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = database.connect();
    for sid in ["again", "changed"] {
        client.open(sid);
        assert!(client.check(sid));
        let activity = client.peek(sid).last_activity.expect("activity");
        eventually("its activity is written down", SOON, || {
            client.stored(sid).is_some_and(|row| row.last_activity >= activity)
        });
    }
    client.open_limited("again", Some("1 second"), None);
    client.has_been_idle("changed", "3 hours");
    for sid in ["again", "changed"] {
        eventually("it is purged", SOON, || client.event_kinds(sid) == ["idle_expired"]);
        assert_eq!(client.stored(sid), None);
    }
}

/// Whatever a bound says.
#[test]
fn every_page_is_read_once_an_hour() {
    let server = preloaded::builder().own_clock().start();
    let database = preloaded::database_on(&server, "hourly", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    wait_until_nothing_is_due(&mut client);
    // So that nothing knows of the change.
    client.run("ALTER TABLE session_timeout.session DISABLE TRIGGER USER");
    client.run("UPDATE session_timeout.session SET last_activity = now() - interval '3 hours'");
    client.run("ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_write");
    client.run("ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_after_delete");
    client.run("ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_truncate");
    assert!(client.stored(&sid).is_some());
    server.set_clock(3_602);
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}
