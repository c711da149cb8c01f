//! The registry when it is full, its figures, and what the views show of it.

use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET, and};
use crate::support::{SOON, SessionCalls, figure, new_sid, open_expired, open_sessions, wait_until_idle};

#[test]
fn a_full_registry_is_said_once_in_the_log() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "said", &QUICK);
    let mut client = database.connect();
    let sids = open_sessions(&mut client, 300);
    let said = || {
        let log = server.log();
        log.lines()
            .filter(|line| line.contains("the session registry is full"))
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

// ---- Figures ---------------------------------------------------------------------------------------------------------

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
fn the_registry_s_fill_is_shown() {
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
fn active_session_shows_activity_that_is_only_in_memory() {
    let database = preloaded::database("active_merged", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.has_been_idle(&sid, "1 hour");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    let row = client
        .query_one(
            "SELECT last_activity = $2 AND expires_at = $2 + interval '2 hours' FROM session_timeout.active_session \
             WHERE digest = session_timeout.session_digest($1)",
            &[&sid, &touched],
        )
        .expect("the session is active");
    assert!(row.get::<_, bool>(0));
}

#[test]
fn active_session_hides_a_session_that_was_found_expired() {
    let database = preloaded::database("active_marked", &QUIET);
    let (mut client, mut holder) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut client, &sid);
    holder.run("BEGIN; SELECT FROM session_timeout.session FOR UPDATE");
    assert!(!client.check(&sid));
    client.set_param(param::DELAY, Some("1 day"));
    let sql = "SELECT count(*) FROM session_timeout.active_session";
    assert_eq!(client.value::<i64>(sql, &[]), 0);
    holder.run("ROLLBACK");
}

#[test]
fn flush_sessions_writes_activity_down_and_says_how_many() {
    let database = preloaded::database("flush_by_hand", &QUIET);
    let mut client = database.connect();
    let (sid, idle) = (new_sid(), new_sid());
    client.open(&sid);
    client.open(&idle);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 1);
    assert_eq!(client.stored(&sid).expect("a row").last_activity, touched);
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 0);
}

#[test]
fn purge_sessions_ends_what_is_marked_or_past_its_limit_in_memory_and_spares_the_rest() {
    let database = preloaded::database("purge_by_hand", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let (idle, busy) = (new_sid(), new_sid());
    client.open_limited(&idle, Some("200 ms"), None);
    client.open_limited(&busy, Some("3 s"), None);
    wait_until_idle(&mut client, &idle);
    // Only memory knows that it is in use.
    let until = Instant::now() + Duration::from_millis(3200);
    while Instant::now() < until {
        assert!(other.check(&busy));
    }
    assert_eq!(client.purge(), 1);
    assert!(!client.check(&idle));
    assert!(other.check(&busy));
    eventually("its event is there", SOON, || {
        client.event_kinds(&idle) == ["idle_expired"]
    });
}
