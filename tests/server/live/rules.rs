//! What a check may not do, whatever the isolation level: write, wait, fail, forget.

use std::time::Duration;

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, param};

use crate::support::preloaded::{self, QUICK, QUIET, and};
use crate::support::{
    ISOLATION_LEVELS, SNAPSHOT_LEVELS, SessionCalls, all_at_once, begin, new_sid, open_expired, outcome,
    refuse_to_wait, unique, wait_until_flushed, wait_until_gone, wait_until_idle,
};

/// Eight connections check one session twice in each of many transactions, which stay open for 10 ms: none may fail,
/// wait or say false.
#[track_caller]
fn eight_check(database: &Database, sid: &str, level: &'static str) {
    let clients: Vec<Client> = (0..8).map(|_| database.connect()).collect();
    let sid = sid.to_owned();
    let answers = all_at_once(clients, move |client, _| {
        refuse_to_wait(client);
        let mut answers = Vec::new();
        for _ in 0..10 {
            begin(client, level);
            for _ in 0..2 {
                let row = client.query_one("SELECT session_timeout.check_session($1)", &[&sid]);
                answers.push(outcome(row).map(|row| row.get::<_, bool>(0)));
                client.run("SELECT pg_sleep(0.005)");
            }
            answers.push(outcome(client.batch_execute("COMMIT")).map(|()| true));
        }
        answers
    });
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer, Ok(true), "{level}");
    }
}

const STRICT_LEVELS: [&str; 2] = ["REPEATABLE READ", "SERIALIZABLE"];

#[test]
fn eight_clients_check_one_session_and_none_fails() {
    let database = preloaded::database("eight", &QUICK);
    let sid = new_sid();
    database.connect().open(&sid);
    for level in STRICT_LEVELS {
        eight_check(&database, &sid, level);
    }
}

#[test]
fn eight_clients_check_a_session_whose_row_is_locked() {
    let database = preloaded::database("eight_locked", &QUICK);
    let sid = new_sid();
    let mut holder = database.connect();
    holder.open(&sid);
    for level in STRICT_LEVELS {
        holder.run("BEGIN");
        holder.write(
            "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
            &[&sid],
        );
        eight_check(&database, &sid, level);
        holder.run("ROLLBACK");
    }
}

#[test]
fn eight_clients_check_a_session_whose_close_is_not_committed() {
    let database = preloaded::database("eight_closing", &QUICK);
    let sid = new_sid();
    let mut holder = database.connect();
    holder.open(&sid);
    for level in STRICT_LEVELS {
        holder.run("BEGIN");
        assert!(holder.close_sid(&sid));
        eight_check(&database, &sid, level);
        holder.run("ROLLBACK");
    }
}

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

#[test]
fn a_check_takes_no_predicate_lock() {
    const HELD: &str = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid()";
    let database = preloaded::database("no_siread", &QUIET);
    let (sid, loaded, expired) = (new_sid(), new_sid(), new_sid());
    let mut client = database.connect();
    client.open(&sid);
    client.open(&loaded);
    assert!(client.check(&loaded));
    open_expired(&mut client, &expired);
    // A backend that has to read the parameters too.
    let mut client = database.connect();
    client.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    for sid in [&sid, &loaded, &expired, &new_sid()] {
        client.check(sid);
        client.verdict(sid);
        client.peek(sid);
    }
    assert_eq!(client.value::<i64>(HELD, &[]), 0);
    // The control: a read of the table takes them.
    client.stored(&sid);
    assert!(client.value::<i64>(HELD, &[]) > 0);
}

#[test]
fn no_function_takes_a_predicate_lock() {
    const HELD: &str = "SELECT count(*) FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid()";
    let database = preloaded::database("no_siread_writes", &QUIET);
    let mut client = database.connect();
    client.open("closed");
    assert!(client.close_sid("closed"));
    open_expired(&mut client, "expired");
    client.run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    for call in [
        "open_session('a', 'user')",
        "rotate_session('a', 'b')",
        "close_session('b')",
        "close_user_sessions('user')",
        "purge_sessions()",
        "flush_sessions()",
        "set_param('mine', '1')",
        "get_param('mine')",
    ] {
        client.run(&format!("SELECT session_timeout.{call}"));
        assert_eq!(client.value::<i64>(HELD, &[]), 0, "{call}");
    }
    client.run("COMMIT");
}

#[test]
fn a_check_in_a_read_only_transaction_touches() {
    let database = preloaded::database("read_only", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    client.run("BEGIN READ ONLY");
    assert!(client.check(&sid));
    client.run("COMMIT");
    let activity = other.peek(&sid).last_activity.expect("an activity");
    assert!(Utc::now() - activity < session_timeout_tests::chrono::TimeDelta::minutes(1));
}

#[test]
fn a_check_in_a_read_only_transaction_expires_for_good() {
    let database = preloaded::database("read_only_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    client.run("BEGIN READ ONLY");
    assert!(!client.check(&sid));
    client.run("COMMIT");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
}

#[test]
fn activity_outlives_the_rollback_of_its_transaction() {
    let database = preloaded::database("touch_rollback", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let opened = other.peek(&sid).last_activity;
    client.run("BEGIN");
    let touched = client.verdict(&sid).last_activity;
    client.run("ROLLBACK");
    assert!(touched > opened);
    assert_eq!(other.peek(&sid).last_activity, touched);
}

#[test]
fn activity_outlives_the_rollback_and_reaches_the_row() {
    let database = preloaded::database("touch_rollback_flush", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("BEGIN");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    client.run("ROLLBACK");
    wait_until_flushed(&mut client, &sid, touched);
}

#[test]
fn an_expiry_outlives_the_rollback_of_its_transaction() {
    let database = preloaded::database("expiry_rollback", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    for level in ISOLATION_LEVELS {
        let sid = new_sid();
        open_expired(&mut client, &sid);
        begin(&mut client, level);
        assert!(!client.check(&sid));
        client.run("ROLLBACK");
        assert!(!other.check(&sid));
        wait_until_gone(&mut other, &sid);
        assert_eq!(other.event_kinds(&sid), ["idle_expired"], "{level}");
    }
}

#[test]
fn an_expiry_stands_when_the_delay_is_raised() {
    let database = preloaded::database("expiry_raised", &QUIET);
    let mut clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    let (admin, checkers) = clients.split_first_mut().expect("four");
    // The rows stay while this holds them: only the mark says that they are expired.
    let mut holder = database.connect();
    let sids: Vec<String> = (0..30).map(|_| new_sid()).collect();
    for sid in &sids {
        open_expired(admin, sid);
    }
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    for sid in &sids {
        assert!(!checkers[0].check(sid));
    }
    admin.set_param(param::DELAY, Some("1 day"));
    for sid in &sids {
        for checker in &mut *checkers {
            assert!(!checker.check(sid));
            assert_eq!(checker.verdict(sid).status, "idle_expired");
        }
        assert!(!holder.rotate(sid, &new_sid()), "an expired session is not rotated");
    }
    holder.run("ROLLBACK");
    for sid in &sids {
        assert!(!checkers[1].check(sid));
    }
}

#[test]
fn an_expiry_stands_when_the_delay_is_raised_after_a_flush() {
    let database = preloaded::database("expiry_flushed", &and(QUICK, (param::DELAY, "2")));
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    wait_until_idle(&mut client, &sid);
    assert!(!client.check(&sid));
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid));
    holder.run("ROLLBACK");
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn an_old_snapshot_hides_no_close_from_a_check() {
    let database = preloaded::database("old_snapshot", &QUIET);
    let (mut client, mut admin) = (database.connect(), database.connect());
    for level in STRICT_LEVELS {
        let (sid, later) = (new_sid(), new_sid());
        admin.open(&sid);
        begin(&mut client, level);
        assert!(client.check(&sid));
        admin.close_sid(&sid);
        admin.open(&later);
        assert!(!client.check(&sid), "{level}");
        assert!(client.check(&later), "{level}");
        client.run("COMMIT");
    }
}

// ---- Nothing that the worker did to a row makes a caller's transaction fail ------------------------------------------

/// What a caller does with a session whose row the worker has written or deleted since the caller's snapshot, and
/// whether the session was there.
fn end_or_reopen(client: &mut Client, call: &str, sid: &str) -> Result<String, String> {
    let sql = match call {
        "close" => "SELECT session_timeout.close_session($1)::text",
        "rotate" => "SELECT session_timeout.rotate_session($1, $1 || '-new')::text",
        _ => "SELECT session_timeout.open_session($1)::text",
    };
    let answer = outcome(client.query_one(sql, &[&sid]).map(|row| row.get::<_, String>(0)))?;
    outcome(client.batch_execute("COMMIT"))?;
    Ok(answer)
}

#[test]
fn a_flush_after_the_snapshot_fails_no_close_rotation_or_login() {
    let database = preloaded::database("flush_conflict", &QUICK);
    let mut client = database.connect();
    for level in SNAPSHOT_LEVELS {
        let callers = [("close", "true"), ("rotate", "true"), ("open", "")].map(|(call, answer)| {
            let (sid, mut caller) = (unique(call), database.connect());
            client.open(&sid);
            begin(&mut caller, level);
            caller.stored(&sid);
            (call, answer, sid, caller)
        });
        for (_, _, sid, _) in &callers {
            let touched = client.verdict(sid).last_activity.expect("an activity");
            wait_until_flushed(&mut client, sid, touched);
        }
        for (call, answer, sid, mut caller) in callers {
            let found = end_or_reopen(&mut caller, call, &sid);
            assert_eq!(found, Ok(answer.to_owned()), "{call}, {level}");
            assert_eq!(client.check(&sid), call == "open", "{call}, {level}");
        }
    }
}

#[test]
fn a_purge_after_the_snapshot_fails_no_close_rotation_or_login() {
    let database = preloaded::database("purge_conflict", &QUIET);
    let mut client = database.connect();
    for level in SNAPSHOT_LEVELS {
        let callers = [("close", "false"), ("rotate", "false"), ("open", "")].map(|(call, answer)| {
            let (sid, mut caller) = (unique(call), database.connect());
            open_expired(&mut client, &sid);
            begin(&mut caller, level);
            caller.stored(&sid);
            (call, answer, sid, caller)
        });
        for (_, _, sid, _) in &callers {
            assert!(!client.check(sid));
            wait_until_gone(&mut client, sid);
        }
        for (call, answer, sid, mut caller) in callers {
            let found = end_or_reopen(&mut caller, call, &sid);
            assert_eq!(found, Ok(answer.to_owned()), "{call}, {level}");
            assert_eq!(client.check(&sid), call == "open", "{call}, {level}");
        }
    }
}

/// The row does not know of activity that is only in memory: its value may be set again, to undo that.
#[test]
fn a_clock_set_by_hand_to_the_value_of_its_row_counts() {
    let database = preloaded::database("same_value", &QUIET);
    let mut client = database.connect();
    let set = [
        "UPDATE session_timeout.session SET last_activity = opened_at WHERE digest = session_timeout.session_digest($1)",
        "UPDATE session_timeout.session SET last_activity = last_activity WHERE digest = session_timeout.session_digest($1)",
        "INSERT INTO session_timeout.session AS s SELECT * FROM session_timeout.session \
         WHERE digest = session_timeout.session_digest($1) \
         ON CONFLICT (digest) DO UPDATE SET last_activity = EXCLUDED.last_activity",
    ];
    for sql in set {
        let sid = new_sid();
        client.open(&sid);
        let opened_at = client.peek(&sid).opened_at;
        assert!(
            client.verdict(&sid).last_activity > opened_at,
            "memory is ahead of the row"
        );
        client.write(sql, &[&sid]);
        assert_eq!(client.peek(&sid).last_activity, opened_at, "{sql}");
    }
    // One that names other columns keeps it.
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity;
    client.write(
        "UPDATE session_timeout.session SET user_name = 'renamed', idle_delay = '1 hour' \
         WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert_eq!(client.peek(&sid).last_activity, touched);
}
