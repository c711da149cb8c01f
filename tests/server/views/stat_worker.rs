//! `stat_worker`, and the worker in `pg_stat_activity`.

use std::time::Instant;

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SOON, SessionCalls, is_resting, new_sid, open_expired, wait_until_gone, worker_figure};

#[test]
fn a_pass_that_fails_is_shown_and_tried_again() {
    let database = preloaded::database("failing", &QUIET);
    let mut client = database.connect();
    let first = new_sid();
    client.open(&first);
    client.close_sid(&first);
    // No second event fits.
    client.run("CREATE UNIQUE INDEX one ON session_timeout.session_event ((octet_length(digest)))");
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    eventually("the second failure in a row", SOON, || {
        worker_figure(&mut client, "failures") >= 2
    });
    let error: String = client.value(
        "SELECT last_error FROM session_timeout.stat_worker WHERE datname = current_database()",
        &[],
    );
    assert_eq!(error, "23505");
    assert!(!client.check(&sid));
    assert!(client.stored(&sid).is_some());
    let log = preloaded::server().log();
    // Other databases have failures of their own.
    let is_said = |line: &&str| line.contains("session maintenance failed") && line.contains("\"one\"");
    let said = log.lines().filter(is_said);
    assert_eq!(said.count(), 1);
    client.run("DROP INDEX session_timeout.one");
    wait_until_gone(&mut client, &sid);
    eventually("no failure any more", SOON, || {
        worker_figure(&mut client, "failures") == 0
    });
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn stat_worker_counts_flushes_expiries_and_purges() {
    let params = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")];
    let database = preloaded::database("figures", &params);
    let mut client = database.connect();
    let touched: Vec<String> = (0..7).map(|_| new_sid()).collect();
    for sid in &touched {
        client.open(sid);
        assert!(client.check(sid));
    }
    eventually("seven flushed", SOON, || worker_figure(&mut client, "flushed") == 7);
    for sid in (0..5).map(|_| new_sid()) {
        client.open_limited(&sid, Some("1 us"), None);
    }
    eventually("five purged", SOON, || worker_figure(&mut client, "purged") == 5);
    client.run("BEGIN");
    let expired: Vec<String> = (0..3).map(|_| new_sid()).collect();
    for sid in &expired {
        client.open_limited(sid, Some("1 us"), None);
    }
    client.run("COMMIT");
    for sid in &expired {
        assert!(!client.check(sid));
    }
    eventually("three expired", SOON, || {
        worker_figure(&mut client, "expired") + worker_figure(&mut client, "purged") == 8
    });
    assert_eq!(worker_figure(&mut client, "flushed"), 7);
    assert_eq!(worker_figure(&mut client, "failures"), 0);
    eventually("the worker rests", SOON, || is_resting(&database));
    let is_due: bool = client.value(
        "SELECT next_purge > last_pass AND last_error IS NULL AND workers_refused = 0 \
         FROM session_timeout.stat_worker WHERE datname = current_database()",
        &[],
    );
    assert!(is_due);
}

#[test]
fn a_worker_shows_itself_by_name_and_database() {
    let database = preloaded::database("named", &QUICK);
    let mut client = database.connect();
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE backend_type = 'session_timeout worker' AND datname = current_database()";
    let sid = new_sid();
    client.open(&sid);
    let deadline = Instant::now() + SOON;
    while client.value::<i64>(sql, &[]) == 0 {
        assert!(client.check(&sid));
        assert!(Instant::now() < deadline, "no worker was seen");
    }
}
