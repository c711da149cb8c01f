//! What a transaction changes counts for itself at once, for others at its commit, and for nobody after a rollback; and
//! no check answers from before a commit that has returned.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_timeout_tests::chrono::TimeDelta;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, error_of, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    ISOLATION_LEVELS, SNAPSHOT_LEVELS, SessionCalls, Swarm, assert_about, begin, expect, new_sid, unique,
};

// ---- After a commit has returned -------------------------------------------------------------------------------------

/// A way for a session that is open to end.
struct End {
    name: &'static str,
    sql: &'static str,
    rounds: u64,
}

const CLOSE: End = End {
    name: "a close",
    sql: "SELECT session_timeout.close_session($1)",
    rounds: 1500,
};
const ROTATE: End = End {
    name: "a rotation",
    sql: "SELECT session_timeout.rotate_session($1, $1 || '-' || clock_timestamp())",
    rounds: 500,
};
const CLOSE_USER: End = End {
    name: "a revocation",
    sql: "SELECT session_timeout.close_user_sessions($1)",
    rounds: 500,
};
const DELETE: End = End {
    name: "a delete by hand",
    sql: "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
    rounds: 500,
};
const TRUNCATE: End = End {
    name: "a truncate",
    sql: "TRUNCATE session_timeout.session",
    rounds: 150,
};
const BACKWARDS: End = End {
    name: "a clock set back by hand",
    sql: "UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours' \
          WHERE digest = session_timeout.session_digest($1)",
    rounds: 500,
};

/// The stages of a round, each a number of its own: the session is open; changing; ended; changing.
const STAGES: u64 = 4;
const OPEN: u64 = 1;
const ENDED: u64 = 3;

/// Opens and ends a session over and over while others check it all the time, some of them in old transactions. A check
/// that began and ended within a stage must say what that stage is.
#[track_caller]
fn no_check_answers_from_before(ends: &[&End]) {
    let database = preloaded::database("closer_and_swarm", &QUICK);
    let sid = new_sid();
    let stage = Arc::new(AtomicU64::new(0));
    let checks = Arc::new([const { AtomicU64::new(0) }; 4]);

    let clients = (0..5).map(|_| database.connect());
    let swarm = {
        let (sid, stage, checks) = (sid.clone(), stage.clone(), checks.clone());
        let names: Vec<&str> = ends.iter().map(|end| end.name).collect();
        Swarm::start(clients, move |client, n| {
            // The last two keep their snapshot for a while.
            let times = if n >= 3 { 200 } else { 1 };
            if n >= 3 {
                begin(client, SNAPSHOT_LEVELS[1]);
            }
            for _ in 0..times {
                let before = stage.load(Ordering::SeqCst);
                let valid = client.check(&sid);
                if stage.load(Ordering::SeqCst) == before {
                    let what = || format!("in stage {before}, old snapshot: {}, of {names:?}", n >= 3);
                    match before % STAGES {
                        OPEN => expect(valid, true, &what())?,
                        ENDED => expect(valid, false, &what())?,
                        _ => {}
                    }
                    checks[(before % STAGES) as usize].fetch_add(1, Ordering::Relaxed);
                }
            }
            if n >= 3 {
                client.run("COMMIT");
            }
            Ok(())
        })
    };

    let mut closer = database.connect();
    let next_stage = || stage.fetch_add(1, Ordering::SeqCst);
    let most = ends.iter().map(|end| end.rounds).max().unwrap_or(0);
    'rounds: for round in 0..most {
        for end in ends.iter().filter(|end| round < end.rounds) {
            closer.open_as(&sid, &sid);
            next_stage();
            wait_for_a_check(&checks[OPEN as usize], &swarm);
            next_stage();
            if end.sql.contains("$1") {
                closer.write(end.sql, &[&sid]);
            } else {
                closer.run(end.sql);
            }
            next_stage();
            wait_for_a_check(&checks[ENDED as usize], &swarm);
            next_stage();
            if swarm.has_failed() {
                break 'rounds;
            }
        }
    }
    swarm.stop();
}

fn wait_for_a_check(checks: &AtomicU64, swarm: &Swarm) {
    let before = checks.load(Ordering::Relaxed);
    while checks.load(Ordering::Relaxed) == before && !swarm.has_failed() {
        std::thread::sleep(Duration::from_micros(50));
    }
}

#[test]
fn no_check_says_true_after_a_close_has_returned() {
    no_check_answers_from_before(&[&CLOSE]);
}

#[test]
fn no_check_says_true_after_a_rotation_or_revocation_has_returned() {
    no_check_answers_from_before(&[&ROTATE, &CLOSE_USER]);
}

#[test]
fn no_check_says_true_after_a_change_by_hand_has_returned() {
    no_check_answers_from_before(&[&DELETE, &BACKWARDS]);
}

#[test]
fn no_check_says_true_after_a_truncate_has_returned() {
    no_check_answers_from_before(&[&TRUNCATE]);
}

// ---- Before the commit, and without one ------------------------------------------------------------------------------

#[test]
fn an_open_that_is_rolled_back_was_never_valid_for_others() {
    let database = preloaded::database("open_rollback", &QUICK);
    let sids: Arc<Mutex<String>> = Arc::new(Mutex::new(new_sid()));
    let swarm = {
        let sids = sids.clone();
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            let sid = sids.lock().expect("no panic holds it").clone();
            expect(client.check(&sid), false, "a session that was never committed")
        })
    };
    let mut client = database.connect();
    for round in 0..300 {
        let sid = new_sid();
        sids.lock().expect("no panic holds it").clone_from(&sid);
        client.run(&format!(
            "BEGIN ISOLATION LEVEL {}",
            ISOLATION_LEVELS[round % ISOLATION_LEVELS.len()]
        ));
        client.open(&sid);
        assert!(client.check(&sid));
        assert!(client.check(&sid));
        client.run("ROLLBACK");
        assert!(!client.check(&sid));
    }
    swarm.stop();
}

#[test]
fn an_open_counts_for_others_from_its_commit_on() {
    let database = preloaded::database("open_commit", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    for level in ISOLATION_LEVELS {
        let sid = new_sid();
        begin(&mut other, level);
        client.run("BEGIN");
        client.open(&sid);
        assert!(client.check(&sid), "{level}");
        assert!(!other.check(&sid), "{level}");
        client.run("COMMIT");
        assert!(other.check(&sid), "{level}");
        other.run("COMMIT");
    }
}

#[test]
fn a_close_that_is_rolled_back_to_a_savepoint_did_not_happen() {
    let database = preloaded::database("savepoint", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    for was_open in [false, true] {
        let sid = new_sid();
        if was_open {
            client.open(&sid);
            assert!(other.check(&sid));
        }
        client.run("BEGIN");
        client.open(&sid);
        client.run("SAVEPOINT here");
        assert!(client.close_sid(&sid));
        assert!(!client.check(&sid));
        client.run("ROLLBACK TO SAVEPOINT here");
        assert!(client.check(&sid));
        client.run("COMMIT");
        assert!(client.check(&sid));
        assert!(other.check(&sid));
    }
}

#[test]
fn a_close_that_is_rolled_back_leaves_activity_and_session() {
    let database = preloaded::database("close_rollback", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    let touched = other.verdict(&sid).last_activity;
    client.run("BEGIN");
    assert!(client.close_sid(&sid));
    client.run("ROLLBACK");
    assert_eq!(other.peek(&sid).last_activity, touched);
    assert!(other.check(&sid));
}

#[test]
fn the_caller_sees_its_own_close_at_once_and_others_at_its_commit() {
    let database = preloaded::database("own_close", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    assert!(other.check(&sid));
    client.run("BEGIN");
    assert!(client.close_sid(&sid));
    assert_eq!(client.verdict(&sid).status, "closed");
    assert_eq!(other.verdict(&sid).status, "active");
    client.run("COMMIT");
    for client in [&mut client, &mut other] {
        let verdict = client.verdict(&sid);
        assert!(!verdict.valid);
        assert!(["closed", "unknown"].contains(&verdict.status.as_str()), "{verdict:?}");
    }
}

#[test]
fn a_touch_in_the_transaction_that_opened_counts_after_its_commit() {
    let database = preloaded::database("touch_of_own", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    assert!(other.check(&sid));
    client.run("BEGIN");
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    assert!(client.check(&sid));
    client.run("COMMIT");
    let idle = session_timeout_tests::chrono::Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert!(idle < TimeDelta::minutes(1), "{idle}");
}

#[test]
fn a_parameter_that_is_rolled_back_expired_nobody() {
    let database = preloaded::database("param_rollback", &QUICK);
    let sid = new_sid();
    let mut client = database.connect();
    client.open(&sid);
    client.has_been_idle(&sid, "90 minutes");
    let swarm = {
        let sid = sid.clone();
        Swarm::start((0..2).map(|_| database.connect()), move |client, _| {
            expect(
                client.verdict_url(&sid, "/websocket").status.as_str(),
                "ignored",
                "a poll",
            )
        })
    };
    for _ in 0..50 {
        client.run("BEGIN");
        client.set_param(param::DELAY, Some("1 hour"));
        assert_eq!(client.verdict(&sid).status, "idle_expired");
        client.run("ROLLBACK");
        assert_eq!(client.peek(&sid).status, "active");
    }
    client.run("BEGIN; SAVEPOINT here");
    client.set_param(param::DELAY, Some("1 hour"));
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.run("ROLLBACK TO SAVEPOINT here");
    assert_eq!(client.peek(&sid).status, "active");
    client.run("COMMIT");
    swarm.stop();
    assert!(client.check(&sid));
    assert_eq!(client.event_kinds(&sid), [""; 0]);
}

// ---- Changes by hand of sessions that are in memory ------------------------------------------------------------------

/// A session that another connection has loaded into memory, and that connection.
fn loaded(database: &Database) -> (String, Client, Client) {
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    admin.open_as(&sid, "somebody");
    assert!(other.check(&sid));
    (sid, admin, other)
}

#[test]
fn a_clock_set_back_by_hand_counts_for_a_session_in_memory() {
    let database = preloaded::database("by_hand_back", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.has_been_idle(&sid, "1 hour");
    let idle = session_timeout_tests::chrono::Utc::now() - other.peek(&sid).last_activity.expect("an activity");
    assert_about(Some(TimeDelta::hours(2) - idle), TimeDelta::hours(1));
    admin.has_been_idle(&sid, "3 hours");
    assert_eq!(other.verdict(&sid).status, "idle_expired");
}

#[test]
fn a_limit_set_by_hand_counts_for_a_session_in_memory() {
    let database = preloaded::database("by_hand_limit", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.was_opened_ago(&sid, "2 days");
    assert!(other.check(&sid));
    admin.write(
        "UPDATE session_timeout.session SET absolute_delay = '1 day' WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert_eq!(other.verdict(&sid).status, "absolute_expired");
}

#[test]
fn a_limit_set_by_hand_keeps_activity_that_is_not_written_yet() {
    let database = preloaded::database("by_hand_keeps", &QUIET);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let touched = other.verdict(&sid).last_activity;
    admin.write(
        "UPDATE session_timeout.session SET idle_delay = '1 hour' WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    let found = other.peek(&sid);
    assert_eq!((found.status.as_str(), found.last_activity), ("active", touched));
}

#[test]
fn a_row_deleted_by_hand_closes_a_session_in_memory() {
    let database = preloaded::database("by_hand_delete", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    admin.write("DELETE FROM session_timeout.session WHERE user_name = 'somebody'", &[]);
    assert!(!other.check(&sid));
    assert_eq!(admin.event_kinds(&sid), ["closed"]);
}

#[test]
fn a_digest_changed_by_hand_moves_a_session_in_memory() {
    let database = preloaded::database("by_hand_digest", &QUIET);
    let (sid, mut admin, mut other) = loaded(&database);
    let new = new_sid();
    admin.write(
        "UPDATE session_timeout.session SET digest = session_timeout.session_digest($2) \
         WHERE digest = session_timeout.session_digest($1)",
        &[&sid, &new],
    );
    assert!(!other.check(&sid));
    assert!(other.check(&new));
}

#[test]
fn more_sessions_changed_at_once_than_are_listed_all_count() {
    let database = preloaded::database("by_hand_many", &QUIET);
    let (mut admin, mut other) = (database.connect(), database.connect());
    let sids: Vec<String> = (0..600).map(|_| new_sid()).collect();
    admin.run("BEGIN");
    for sid in &sids {
        admin.open_as(sid, "many");
    }
    admin.run("COMMIT");
    for sid in &sids {
        assert!(other.check(sid));
    }
    assert_eq!(admin.close_user("many"), 600);
    for sid in &sids {
        assert!(!other.check(sid));
    }
}

// ---- Parameters ------------------------------------------------------------------------------------------------------

/// Connections that have all checked, one of each isolation level within a transaction that stays open.
fn checkers(database: &Database, sid: &str) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..=ISOLATION_LEVELS.len()).map(|_| database.connect()).collect();
    for (client, level) in clients.iter_mut().zip(ISOLATION_LEVELS) {
        begin(client, level);
    }
    for client in &mut clients {
        assert_eq!(client.peek(sid).status, "active");
    }
    clients
}

#[track_caller]
fn all_say(clients: &mut [Client], sid: &str, status: &str) {
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.peek(sid).status, status, "connection {n}");
    }
}

#[test]
fn a_parameter_counts_at_the_next_check_of_every_backend() {
    let database = preloaded::database("param_seen", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for _ in 0..20 {
        database.set_params(&[(param::DELAY, "1 hour")]);
        all_say(&mut clients, &sid, "idle_expired");
        database.set_params(&[(param::DELAY, "2 hours")]);
        all_say(&mut clients, &sid, "active");
    }
}

#[test]
fn a_parameter_counts_for_others_only_from_its_commit_on() {
    let database = preloaded::database("param_commit", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for (end, status) in [("ROLLBACK", "active"), ("COMMIT", "idle_expired")] {
        admin.run("BEGIN");
        admin.set_param(param::DELAY, Some("1 hour"));
        assert_eq!(admin.peek(&sid).status, "idle_expired");
        all_say(&mut clients, &sid, "active");
        admin.run(end);
        all_say(&mut clients, &sid, status);
        assert_eq!(admin.peek(&sid).status, status);
    }
}

#[test]
fn a_parameter_row_that_is_gone_means_its_default() {
    let database = preloaded::database("param_gone", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for removal in [
        "DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_delay'",
        "TRUNCATE session_timeout.config_parameter",
    ] {
        admin.set_param(param::DELAY, Some("1 hour"));
        all_say(&mut clients, &sid, "idle_expired");
        admin.run(removal);
        all_say(&mut clients, &sid, "active");
    }
}

#[test]
fn no_check_goes_by_a_parameter_from_before_a_commit_that_has_returned() {
    let database = preloaded::database("param_swarm", &QUIET);
    let sid = new_sid();
    let mut admin = database.connect();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let stage = Arc::new(AtomicU64::new(0));
    let swarm = {
        let (sid, stage) = (sid.clone(), stage.clone());
        Swarm::start((0..4).map(|_| database.connect()), move |client, _| {
            let before = stage.load(Ordering::SeqCst);
            let status = client.peek(&sid).status;
            if stage.load(Ordering::SeqCst) != before {
                return Ok(());
            }
            match before % STAGES {
                OPEN => expect(status.as_str(), "active", "within two hours"),
                ENDED => expect(status.as_str(), "idle_expired", "past one hour"),
                _ => Ok(()),
            }
        })
    };
    for delay in ["2 hours", "1 hour"].into_iter().cycle().take(600) {
        if swarm.has_failed() {
            break;
        }
        admin.set_param(param::DELAY, Some(delay));
        stage.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        stage.fetch_add(1, Ordering::SeqCst);
    }
    swarm.stop();
}

// ---- Prepared transactions -------------------------------------------------------------------------------------------

const PREPARED: &str = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";

#[test]
fn a_transaction_that_changed_a_session_is_not_prepared() {
    let database = preloaded::database("prepare_refused", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let calls = [
        format!("SELECT session_timeout.open_session('{sid}')"),
        format!("SELECT session_timeout.rotate_session('{sid}', '{sid}-new')"),
        format!("SELECT session_timeout.close_session('{sid}')"),
        "UPDATE session_timeout.session SET last_activity = now()".to_owned(),
        "DELETE FROM session_timeout.session".to_owned(),
        "TRUNCATE session_timeout.session".to_owned(),
        format!("SELECT session_timeout.set_param('{}', '1 hour')", param::DELAY),
    ];
    for call in calls {
        client.run(&format!("BEGIN; {call}"));
        let id = unique("refused");
        let error = error_of(client.batch_execute(&format!("PREPARE TRANSACTION '{id}'")));
        assert_eq!(error.sqlstate, "0A000", "{call}");
        assert!(client.check(&sid), "{call}");
        assert_eq!(client.value::<i64>(PREPARED, &[]), 0);
    }
}

#[test]
fn a_transaction_that_only_checked_is_prepared() {
    let database = preloaded::database("prepare_checked", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("CREATE TABLE request (at timestamptz)");
    let id = unique("checked");
    client.run("BEGIN; INSERT INTO request VALUES (now())");
    let touched = client.verdict(&sid).last_activity;
    client.run(&format!("PREPARE TRANSACTION '{id}'"));
    client.run(&format!("COMMIT PREPARED '{id}'"));
    assert_eq!(client.peek(&sid).last_activity, touched);
    assert_eq!(client.value::<i64>(PREPARED, &[]), 0);
}

/// It was not open any more, and yet its row is not to outlive the revocation: a crash would forget that it was found expired.
#[test]
fn a_revocation_takes_sessions_along_that_were_found_expired() {
    let database = preloaded::database("revoked", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.run("BEGIN");
    client.write("SELECT session_timeout.open_session($1, 'leaver')", &[&sid]);
    client.has_been_idle(&sid, "3 hours");
    assert!(!client.check(&sid));
    let closed: i64 = client.value("SELECT session_timeout.close_user_sessions('leaver')", &[]);
    assert_eq!(closed, 0);
    assert!(client.stored(&sid).is_none());
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
    client.run("COMMIT");
    assert_eq!(client.event_kinds(&sid), ["idle_expired"]);
}
