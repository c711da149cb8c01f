//! Activity of busy sessions reaches the rows, and eviction from the registry loses none uncounted.

use std::time::Instant;

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::param;

use crate::support::preloaded::{self, QUICK};
use crate::support::{SOON, SessionCalls, Swarm, expect, figure, new_sid, open_sessions, wait_until_flushed};

#[test]
fn activity_that_never_pauses_is_flushed_all_the_time() {
    // A purge would look as well: it comes next tomorrow.
    let params = [(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1 day")];
    let database = preloaded::database("flush_hot_sessions", &params);
    let mut client = database.connect();
    let sids: Vec<String> = (0..20).map(|_| new_sid()).collect();
    for sid in &sids {
        client.open(sid);
    }
    let swarm = {
        let sids = sids.clone();
        Swarm::start((0..3).map(|_| database.connect()), move |client, _| {
            sids.iter()
                .try_for_each(|sid| expect(client.check(sid), true, "a busy session"))
        })
    };
    for _ in 0..5 {
        let now = Utc::now();
        for sid in &sids {
            wait_until_flushed(&mut client, sid, now);
        }
    }
    swarm.stop();
}

#[test]
fn eviction_loses_no_activity_but_what_is_counted() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "evicted", &QUICK);
    let mut client = database.connect();
    let sids = open_sessions(&mut client, 1000);
    let lost_before = figure(&mut client, "lost_touches");
    let full_before = figure(&mut client, "registry_full");
    let mut touched = Vec::new();
    for sid in &sids {
        let verdict = client.verdict(sid);
        assert_eq!(verdict.status, "active");
        touched.push(verdict.last_activity.expect("an activity"));
    }
    let lost = figure(&mut client, "lost_touches") - lost_before;
    assert!(figure(&mut client, "registry_full") > full_before);
    assert!(lost > 0 && lost < 1000, "{lost}");
    // What is in memory is written within a flush interval: as many rows are behind as touches were lost.
    let mut behind = 0;
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        let is_behind = |(sid, touched): (&String, &_)| client.stored(sid).expect("a row").last_activity < *touched;
        behind = sids
            .iter()
            .zip(&touched)
            .map(is_behind)
            .filter(|behind| *behind)
            .count();
        if behind as i64 <= lost {
            break;
        }
    }
    assert_eq!(behind as i64, lost);
}
