//! The worker waits for no row, table or commit of others: it leaves what they hold, and comes back to it.

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    NOTE, SOON, SessionCalls, hang_in_commit, heard, let_go, listener, new_sid, open_expired, wait_for_passes,
    wait_until_flushed, wait_until_gone, wait_until_idle, worker_figure,
};

#[test]
fn a_locked_table_is_left_for_next_time() {
    let database = preloaded::database("table_locked", &QUICK);
    let (mut client, mut holder, mut monitor) = (database.connect(), database.connect(), preloaded::server().connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN ACCESS EXCLUSIVE MODE");
    // It has not waited: its passes go on, and none fails.
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'session_timeout.session'::regclass";
    let pass = "SELECT last_pass, failures FROM session_timeout.stat_worker WHERE datname = current_database()";
    let look = |client: &mut Client| {
        let row = client.query_one(pass, &[]).expect("the worker's figures");
        (row.get::<_, DateTime<Utc>>(0), row.get::<_, i64>(1))
    };
    for _ in 0..2 {
        let before = look(&mut client).0;
        eventually("another pass", SOON, || look(&mut client).0 > before);
    }
    assert_eq!(look(&mut client).1, 0);
    assert_eq!(client.value::<i64>(sql, &[]), 0);
    assert_eq!(monitor.value::<i32>("SELECT 1", &[]), 1);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn an_expired_session_that_is_locked_is_ended_when_it_is_free() {
    let database = preloaded::database("marked_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let (held, free) = (new_sid(), new_sid());
    for sid in [&held, &free] {
        open_expired(&mut client, sid);
    }
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    for sid in [&held, &free] {
        assert!(!client.check(sid));
    }
    wait_until_gone(&mut client, &free);
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&held).is_some());
    assert_eq!(worker_figure(&mut client, "failures"), 0);
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &held);
    assert_eq!(client.event_kinds(&held), ["idle_expired"]);
}

#[test]
fn an_expired_session_that_was_locked_does_not_wait_for_the_next_purge() {
    let database = preloaded::database("marked_held", &QUIET);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    assert!(!client.check(&sid));
    wait_for_passes(&mut client, 1);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_locked_row_is_written_when_it_is_free() {
    let database = preloaded::database("flush_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let (held, free) = (new_sid(), new_sid());
    for sid in [&held, &free] {
        client.open(sid);
    }
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    let [touched, at] = [&held, &free].map(|sid| client.verdict(sid).last_activity.expect("an activity"));
    wait_until_flushed(&mut client, &free, at);
    assert!(client.stored(&held).expect("a row").last_activity < touched);
    holder.run("ROLLBACK");
    wait_until_flushed(&mut client, &held, touched);
}

/// The expired session makes for a pass every two seconds.
#[test]
fn a_locked_row_brings_no_flush_forward() {
    let params = [(param::FLUSH_INTERVAL, "5"), (param::PURGE_INTERVAL, "1 day")];
    let database = preloaded::database("flush_forward", &params);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let [held, free] = [(); 2].map(|()| new_sid());
    open_expired(&mut client, &held);
    client.open(&free);
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
        &[&held],
    );
    assert!(!client.check(&held));
    let touched = client.verdict(&free).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &free, touched);
    eventually("the next flush is after the interval", SOON, || {
        client.value(
            "SELECT next_flush > last_pass FROM session_timeout.stat_worker WHERE datname = current_database()",
            &[],
        )
    });
    assert!(client.stored(&held).is_some());
    holder.run("ROLLBACK");
}

#[test]
fn a_row_that_is_only_referred_to_is_written() {
    let database = preloaded::database("flush_referred", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    // As a foreign key's check does, to the end of its transaction.
    holder.run("BEGIN");
    holder.write(
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR KEY SHARE",
        &[&sid],
    );
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    holder.run("ROLLBACK");
}

#[test]
fn a_locked_row_is_purged_when_it_is_free() {
    let database = preloaded::database("purge_locked", &QUICK);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    wait_until_idle(&mut client, &sid);
    wait_for_passes(&mut client, 2);
    assert!(client.stored(&sid).is_some());
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

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
