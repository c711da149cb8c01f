//! A check writes no WAL, prunes no page and takes no transaction id.

use std::time::Duration;

use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUIET};
use crate::support::{ISOLATION_LEVELS, SessionCalls, begin, new_sid, open_expired};

/// What the whole server has written so far: the end of its WAL and the next transaction id.
fn written(client: &mut Client) -> (String, String) {
    let sql = "SELECT pg_current_wal_insert_lsn()::text, pg_snapshot_xmax(pg_current_snapshot())::text";
    let row = client.query_one(sql, &[]).expect("the server's figures");
    (row.get(0), row.get(1))
}

/// The updates and deletes of session rows, and their dead versions, as far as statistics know.
fn row_writes(client: &mut Client) -> i64 {
    client.run("SELECT pg_stat_clear_snapshot()");
    let sql = "SELECT n_tup_upd + n_tup_del + n_dead_tup FROM pg_stat_user_tables \
               WHERE relid = 'session_timeout.session'::regclass";
    client.value(sql, &[])
}

#[test]
fn twenty_thousand_checks_write_nothing() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "unwritten", &QUIET);
    let mut client = database.connect();
    let sids: Vec<String> = (0..20).map(|_| new_sid()).collect();
    for sid in &sids {
        client.open(sid);
        assert!(client.check(sid));
    }
    let check = client
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    let before = written(&mut client);
    for round in 0..1000 {
        for sid in &sids {
            let valid: bool = client.query_one(&check, &[sid]).expect("a check").get(0);
            assert!(valid, "round {round}");
        }
    }
    assert_eq!(written(&mut client), before, "WAL position and next transaction id");
    // The control: what writes is seen to write.
    client.open(&sids[0]);
    let after = written(&mut client);
    assert_ne!(after.0, before.0);
    assert_ne!(after.1, before.1);
    // One update, of which one dead version.
    drop(client);
    let mut client = database.connect();
    session_timeout_tests::eventually("statistics arrive", Duration::from_secs(30), || {
        row_writes(&mut client) > 0
    });
    assert!(row_writes(&mut client) <= 2, "rows were updated by checks");
}

/// Whoever reads a page with dead versions and little room prunes it, as a rule, and writes WAL for it.
#[test]
fn a_check_that_reads_a_row_prunes_no_page() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "unpruned", &QUIET);
    let mut client = database.connect();
    let sids: Vec<String> = (0..200).map(|_| new_sid()).collect();
    client.run("BEGIN");
    for sid in &sids {
        client.open(sid);
    }
    client.run("COMMIT");
    // Some of each page: the rest of it is left.
    let write = "UPDATE session_timeout.session SET user_name = repeat('x', 40) \
                 WHERE (ctid::text::point)[1]::int % 4 = 0";
    assert!(client.write(write, &[]) > 20);
    let check = client
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    let loads = "SELECT loads FROM session_timeout.stat_session_timeout";
    let loaded: i64 = client.value(loads, &[]);
    let before = written(&mut client);
    for sid in &sids {
        assert!(client.query_one(&check, &[sid]).expect("a check").get::<_, bool>(0));
    }
    assert_eq!(written(&mut client), before, "WAL position and next transaction id");
    assert!(client.value::<i64>(loads, &[]) >= loaded + 200, "the rows were read");
    // The control: a query of the same rows does it.
    client.run("SET enable_seqscan = off");
    for sid in &sids {
        client.stored(sid);
    }
    assert_ne!(written(&mut client).0, before.0);
}

#[test]
fn a_check_assigns_no_transaction_id() {
    let database = preloaded::database("no_xid", &QUIET);
    let mut client = database.connect();
    let (valid, expired, unknown) = (new_sid(), new_sid(), new_sid());
    client.open(&valid);
    open_expired(&mut client, &expired);
    for level in ISOLATION_LEVELS {
        begin(&mut client, level);
        for sid in [&valid, &expired, &unknown] {
            client.check(sid);
            client.verdict(sid);
            client.verdict_url(sid, "/websocket");
            client.peek(sid);
        }
        let id: Option<String> = client.value("SELECT pg_current_xact_id_if_assigned()::text", &[]);
        assert_eq!(id, None, "{level}");
        client.run("COMMIT");
    }
}
