//! No check that starts after a commit has returned answers from before it. Checks race with each way to end a session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_timeout_tests::param;

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SNAPSHOT_LEVELS, SessionCalls, Swarm, begin, expect, hang_in_commit, let_go, new_sid};

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

#[test]
fn a_close_whose_commit_takes_its_time_counts_when_it_returns() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "slow_close", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    assert!(client.check(&sid));
    let hanging = hang_in_commit(&database, "SELECT session_timeout.close_session($1)", &sid);
    assert!(client.check(&sid));
    let_go(&mut client, hanging);
    assert!(!client.check(&sid));
}
