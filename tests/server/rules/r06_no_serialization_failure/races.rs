//! Many connections call functions on one session at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;

use crate::support::{SNAPSHOT_LEVELS, all_at_once, app, begin, new_sid, outcome};

/// Random calls on one session for a second, each in a transaction of `level`. Answers the SQLSTATEs they ended with.
fn race_calls(level: &'static str, calls: fn(sid: &str) -> Vec<String>) -> BTreeSet<String> {
    let sid = new_sid();
    let clients: Vec<Client> = (0..6).map(|_| app()).collect();
    let refusals = all_at_once(clients, move |client, n| {
        let mut refusals = BTreeSet::new();
        let calls = calls(&sid);
        let end = Instant::now() + Duration::from_millis(700);
        let mut turn = n;
        while Instant::now() < end {
            begin(client, level);
            refusals.extend(outcome(client.batch_execute(&calls[turn % calls.len()])).err());
            refusals.extend(outcome(client.batch_execute("COMMIT")).err());
            turn = turn.wrapping_mul(31).wrapping_add(7);
        }
        refusals
    });
    refusals.into_iter().flatten().collect()
}

#[test]
fn calls_on_one_session_from_many_connections_never_fail() {
    for level in SNAPSHOT_LEVELS {
        let refusals = race_calls(level, |sid| {
            vec![
                format!("SELECT session_timeout.open_session('{sid}', 'user')"),
                format!("SELECT session_timeout.check_session('{sid}')"),
                format!("SELECT session_timeout.close_session('{sid}')"),
                format!("SELECT session_timeout.open_session('{sid}')"),
                format!("SELECT * FROM session_timeout.session_verdict('{sid}')"),
            ]
        });
        assert!(refusals.is_empty(), "{level}: {refusals:?}");
    }
}

#[test]
fn rotations_among_other_calls_fail_only_if_the_new_session_is_open() {
    for level in SNAPSHOT_LEVELS {
        let refusals = race_calls(level, |sid| {
            vec![
                format!("SELECT session_timeout.open_session('{sid}', 'user')"),
                format!("SELECT session_timeout.rotate_session('{sid}', '{sid}-new')"),
                format!("SELECT session_timeout.close_session('{sid}-new')"),
                format!("SELECT session_timeout.check_session('{sid}-new')"),
                format!("SELECT session_timeout.open_session('{sid}')"),
            ]
        });
        let unexpected: Vec<_> = refusals.iter().filter(|sqlstate| *sqlstate != "23505").collect();
        assert!(unexpected.is_empty(), "{level}: {unexpected:?}");
    }
}
