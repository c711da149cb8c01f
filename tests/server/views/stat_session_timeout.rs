//! `stat_session_timeout`: the registry's counters and fill; and the warning of a full registry.

use std::time::{Duration, Instant};

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUICK, QUIET, and};
use crate::support::{SessionCalls, figure, new_sid, open_expired, open_sessions};

const COUNTERS: [&str; 11] = [
    "checks",
    "hits",
    "loads",
    "touches",
    "ignored",
    "idle_expired",
    "absolute_expired",
    "closed",
    "unknown",
    "registry_full",
    "lost_touches",
];

/// Something that a client does.
type Step<'a> = Box<dyn FnMut(&mut Client) + 'a>;

fn counters(client: &mut Client) -> [i64; COUNTERS.len()] {
    COUNTERS.map(|name| figure(client, name))
}

#[test]
fn every_answer_is_counted_once() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "counted", &and(QUIET, (param::DELAY, "2 hours")));
    let mut client = database.connect();
    let (sid, idle, old, closed) = (new_sid(), new_sid(), new_sid(), new_sid());
    client.open(&sid);
    open_expired(&mut client, &idle);
    client.open_limited(&old, None, Some("1 us"));
    client.open(&closed);
    let mut steps: Vec<(&str, Step, &[&str])> = vec![
        (
            "the first check",
            Box::new(|client| assert!(client.check(&sid))),
            &["checks", "loads", "touches"],
        ),
        (
            "the next",
            Box::new(|client| assert!(client.check(&sid))),
            &["checks", "hits", "touches"],
        ),
        (
            "a poll",
            Box::new(|client| assert!(client.check_url(&sid, "/websocket"))),
            &["checks", "hits", "ignored"],
        ),
        ("a look", Box::new(|client| assert!(client.peek(&sid).valid)), &[]),
        (
            "an expired one",
            Box::new(|client| assert!(!client.check(&idle))),
            &["checks", "loads", "idle_expired"],
        ),
        (
            "one too old",
            Box::new(|client| assert!(!client.check(&old))),
            &["checks", "loads", "absolute_expired"],
        ),
        (
            "no session",
            Box::new(|client| assert!(!client.check(&new_sid()))),
            &["checks", "unknown"],
        ),
        (
            "loaded, then closed",
            Box::new(|client| {
                assert!(client.check(&closed));
                assert!(client.close_sid(&closed));
                assert!(!client.check(&closed));
            }),
            &["checks", "loads", "touches", "checks", "closed"],
        ),
    ];
    for (what, step, expected) in &mut steps {
        let before = counters(&mut client);
        step(&mut client);
        let after = counters(&mut client);
        for (n, name) in COUNTERS.iter().enumerate() {
            let times = expected.iter().filter(|one| *one == name).count() as i64;
            assert_eq!(after[n] - before[n], times, "{what}: {name}");
        }
    }
}

#[test]
fn the_fill_of_the_registry_is_shown() {
    let server = preloaded::alone();
    let database = preloaded::database_on(&server, "fill", &QUIET);
    let mut client = database.connect();
    assert!(client.value::<bool>("SELECT preloaded FROM session_timeout.stat_session_timeout", &[]));
    assert!(figure(&mut client, "capacity") >= 100_000);
    let before = figure(&mut client, "entries");
    for sid in open_sessions(&mut client, 10) {
        assert!(client.check(&sid));
    }
    assert_eq!(figure(&mut client, "entries") - before, 10);
}

#[test]
fn a_full_registry_is_logged_once() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "said", &QUICK);
    let mut client = database.connect();
    let sids = open_sessions(&mut client, 300);
    let said = || {
        let log = server.log();
        log.lines()
            .filter(|line| line.contains("session registry is full"))
            .count()
    };
    let before = said();
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        for sid in &sids {
            assert!(client.check(sid));
        }
    }
    assert_eq!(said() - before, 1, "in four seconds");
}
