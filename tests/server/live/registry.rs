//! The registry when it is full, its figures, and what the views show of it.

use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, error_of, eventually, param};

use super::support::{
    QUICK, QUIET, alone, and, clogged, database, database_of, figure, live, on_small, open_expired, open_sessions,
    small, wait_until_gone, wait_until_idle,
};
use crate::in_flight::SOON;
use crate::support::{SessionCalls, new_sid};

#[test]
fn sessions_beyond_the_registry_are_answered_right() {
    let server = small();
    let database = on_small(&server, "beyond", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sids = open_sessions(&mut client, 500);
    for sid in &sids {
        assert!(other.check(sid));
    }
    for sid in sids.iter().step_by(2) {
        assert!(client.close_sid(sid));
    }
    for (n, sid) in sids.iter().enumerate() {
        assert_eq!(other.check(sid), n % 2 == 1);
    }
    for sid in sids.iter().skip(1).step_by(4) {
        client.has_been_idle(sid, "3 hours");
        // The worker purges at once where the registry is full: then it is unknown already.
        assert!(["idle_expired", "unknown"].contains(&other.verdict(sid).status.as_str()));
    }
    assert!(figure(&mut client, "entries") <= figure(&mut client, "capacity"));
}

#[test]
fn eviction_loses_no_activity_but_what_is_counted() {
    let server = small();
    let database = on_small(&server, "evicted", &QUICK);
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

#[test]
fn a_full_registry_is_said_once_in_the_log() {
    let server = small();
    let database = on_small(&server, "said", &QUICK);
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

#[test]
fn an_expiry_found_while_the_registry_is_full_stands_when_the_delay_is_raised() {
    let server = small();
    let database = on_small(&server, "full_expiry", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    let mut holder = clogged(&mut client, database.connect());
    assert_eq!(client.verdict(&sid).status, "idle_expired");
    client.set_param(param::DELAY, Some("1 day"));
    assert!(!client.check(&sid));
    holder.run("ROLLBACK");
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_session_beyond_the_registry_that_is_closed_is_closed() {
    let server = small();
    let database = on_small(&server, "full_close", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let mut holder = clogged(&mut client, database.connect());
    assert!(other.check(&sid));
    holder.run("ROLLBACK; BEGIN");
    client.run("BEGIN");
    client.close_sid(&sid);
    assert!(other.check(&sid));
    client.run("COMMIT");
    assert!(!other.check(&sid));
}

#[test]
fn one_database_does_not_crowd_out_the_unwritten_activity_of_another() {
    let server = small();
    let (modest, greedy) = (on_small(&server, "modest", &QUIET), on_small(&server, "greedy", &QUICK));
    let mut client = modest.connect();
    let sids = open_sessions(&mut client, 20);
    let touched: Vec<_> = sids.iter().map(|sid| client.verdict(sid).last_activity).collect();
    let mut crowd = greedy.connect();
    for sid in open_sessions(&mut crowd, 500) {
        assert!(crowd.check(&sid));
    }
    for (sid, touched) in sids.iter().zip(touched) {
        assert_eq!(client.peek(sid).last_activity, touched);
    }
}

/// A database whose table is locked, so that nothing of the registry can be written to it.
fn locked(database: &Database) -> Client {
    let mut holder = database.connect();
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN SHARE MODE");
    holder
}

#[test]
fn a_database_whose_activity_cannot_be_written_makes_room_for_another() {
    let server = small();
    let (modest, greedy) = (on_small(&server, "modest", &QUIET), on_small(&server, "greedy", &QUIET));
    let (mut client, mut crowd) = (modest.connect(), greedy.connect());
    let many = open_sessions(&mut crowd, 400);
    let sids = open_sessions(&mut client, 20);
    let _holder = locked(&greedy);
    let before = figure(&mut crowd, "registry_full");
    for sid in &many {
        assert!(crowd.check(sid));
    }
    assert!(figure(&mut crowd, "registry_full") > before);
    for sid in &sids {
        let touched = client.verdict(sid).last_activity;
        assert_eq!(client.peek(sid).last_activity, touched, "its activity is recorded");
    }
    let lost = figure(&mut crowd, "lost_touches");
    for sid in &sids {
        assert!(client.check(sid));
    }
    assert_eq!(figure(&mut crowd, "lost_touches"), lost);
}

#[test]
fn expired_sessions_that_cannot_be_deleted_make_room_for_another_database_and_stay_expired() {
    let server = small();
    let (modest, greedy) = (on_small(&server, "modest", &QUIET), on_small(&server, "greedy", &QUIET));
    let (mut client, mut crowd) = (modest.connect(), greedy.connect());
    let many = open_sessions(&mut crowd, 200);
    crowd.run("UPDATE session_timeout.session SET last_activity = now() - interval '3 hours'");
    let sids = open_sessions(&mut client, 20);
    let mut holder = locked(&greedy);
    for sid in &many {
        assert_eq!(crowd.verdict(sid).status, "idle_expired");
    }
    for sid in &sids {
        let touched = client.verdict(sid).last_activity;
        assert_eq!(client.peek(sid).last_activity, touched, "its activity is recorded");
    }
    holder.run("ROLLBACK");
    crowd.set_param(param::DELAY, Some("10 days"));
    let mut again = greedy.connect();
    for sid in &many {
        assert!(!again.check(sid));
    }
    wait_until_gone(&mut crowd, &many[0]);
    eventually("each has its event", SOON, || {
        crowd.value::<i64>(
            "SELECT count(*) FROM session_timeout.session_event WHERE kind = 'idle_expired'",
            &[],
        ) == 200
    });
}

#[test]
fn expiries_without_room_are_final_until_their_rows_are_deleted_and_then_bind_nobody() {
    let server = small();
    let database = on_small(&server, "roomless", &QUIET);
    let mut client = database.connect();
    let expired: Vec<String> = (0..20).map(|_| new_sid()).collect();
    let (idle, fresh, later) = (new_sid(), new_sid(), new_sid());
    for sid in &expired {
        open_expired(&mut client, sid);
    }
    client.open(&idle);
    client.has_been_idle(&idle, "150 minutes");
    client.open(&fresh);
    let mut holder = clogged(&mut client, database.connect());
    for sid in &expired {
        assert_eq!(client.verdict(sid).status, "idle_expired");
    }
    client.set_param(param::DELAY, Some("1 day"));
    for sid in &expired {
        assert!(!client.check_url(sid, "/websocket"));
        assert_eq!(client.peek(sid).status, "idle_expired");
        let active = "SELECT count(*) FROM session_timeout.active_session \
                      WHERE digest = session_timeout.session_digest($1)";
        assert_eq!(client.value::<i64>(active, &[sid]), 0);
    }
    assert!(client.check(&idle), "idle for a shorter time, and nobody had asked");
    assert!(client.check(&fresh));
    holder.run("ROLLBACK");
    for sid in &expired {
        wait_until_gone(&mut client, sid);
    }
    client.open(&later);
    client.has_been_idle(&later, "4 hours");
    eventually("only the parameters count", SOON, || client.peek(&later).valid);
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
    let server = alone();
    let database = database_of(&server, "counted", &and(QUIET, (param::DELAY, "2 hours")));
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
    let server = alone();
    let database = database_of(&server, "fill", &QUIET);
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
fn figures_are_for_pg_monitor_and_for_nobody_else() {
    let monitor = live().role("monitor", "LOGIN IN ROLE pg_monitor");
    let nobody = live().role("nobody", "LOGIN");
    let database = database("monitored", &QUIET);
    for view in ["stat_session_timeout", "stat_worker"] {
        let sql = format!("SELECT count(*) FROM session_timeout.{view}");
        assert!(
            database.connect_as(monitor.name()).value::<i64>(&sql, &[]) >= 1,
            "{view}"
        );
        let error = error_of(database.connect_as(nobody.name()).query_one(&sql, &[]));
        assert_eq!(error.sqlstate, "42501", "{view}");
    }
    let error = error_of(
        database
            .connect_as(monitor.name())
            .query("SELECT FROM session_timeout.active_session", &[]),
    );
    assert_eq!(error.sqlstate, "42501");
}

#[test]
fn active_session_shows_activity_that_is_only_in_memory() {
    let database = database("active_merged", &QUIET);
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
    let database = database("active_marked", &QUIET);
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
    let database = database("flush_by_hand", &QUIET);
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
    let database = database("purge_by_hand", &QUIET);
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
