//! Checks against whatever others do to the session at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::{
    ISOLATION_LEVELS, SessionCalls, all_at_once, app, begin, new_sid, outcome, own_database, refuse_to_wait, unique,
};

/// What another transaction can be in the midst of, on the session whose id is `$1`.
const HELD_BY: [(&str, &str); 7] = [
    (
        "a row lock",
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
    ),
    ("a close", "SELECT session_timeout.close_session($1)"),
    ("a rotation", "SELECT session_timeout.rotate_session($1, $1 || '-new')"),
    ("a re-authentication", "SELECT session_timeout.open_session($1)"),
    (
        "an update by hand",
        "UPDATE session_timeout.session SET idle_delay = '1 hour' WHERE digest = session_timeout.session_digest($1)",
    ),
    (
        "a delete by hand",
        "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
    ),
    (
        "a lock of those who only read",
        "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR SHARE",
    ),
];

/// A session last active `idle` ago, and another transaction in the midst of `statement` on it.
fn held(statement: &str, idle: &str) -> (String, Client) {
    let mut holder = app();
    let sid = new_sid();
    holder.open(&sid);
    holder.has_been_idle(&sid, idle);
    holder.run("BEGIN");
    holder.write(statement, &[&sid]);
    (sid, holder)
}

#[test]
fn a_check_waits_for_no_row_lock() {
    for (what, statement) in HELD_BY {
        for level in ISOLATION_LEVELS {
            let (sid, mut holder) = held(statement, "1 hour");
            let mut checker = app();
            refuse_to_wait(&mut checker);
            begin(&mut checker, level);
            let valid = outcome(checker.query_one("SELECT session_timeout.check_session($1)", &[&sid]));
            assert_eq!(valid.map(|row| row.get(0)), Ok(true), "{what}, {level}");
            checker.run("COMMIT");
            holder.run("ROLLBACK");
        }
    }
}

#[test]
fn a_check_that_finds_a_session_expired_waits_for_no_row_lock() {
    for (what, statement) in HELD_BY {
        let (sid, mut holder) = held(statement, "3 hours");
        let mut checker = app();
        refuse_to_wait(&mut checker);
        let valid = outcome(checker.query_one("SELECT session_timeout.check_session($1)", &[&sid]));
        assert_eq!(valid.map(|row| row.get(0)), Ok(false), "{what}");
        holder.run("ROLLBACK");
    }
}

#[test]
fn a_check_waits_for_no_lock_on_the_table_that_readers_may_pass() {
    for mode in ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE"] {
        let database = own_database();
        let (mut holder, mut checker) = (database.connect(), database.connect());
        checker.open("sid");
        checker.has_been_idle("sid", "1 hour");
        holder.run(&format!("BEGIN; LOCK TABLE session_timeout.session IN {mode} MODE"));
        refuse_to_wait(&mut checker);
        assert!(checker.check("sid"), "{mode}");
        checker.run("BEGIN");
        assert!(checker.check("sid"), "{mode}");
        checker.run("COMMIT");
        holder.run("ROLLBACK");
    }
}

#[test]
fn a_touch_that_would_wait_is_skipped() {
    let (sid, mut holder) = held(HELD_BY[0].1, "1 hour");
    let mut checker = app();
    refuse_to_wait(&mut checker);
    let before = checker.stored(&sid);
    assert!(checker.check(&sid));
    assert_eq!(checker.stored(&sid), before);
    holder.run("ROLLBACK");
    assert!(checker.check(&sid));
    assert_ne!(checker.stored(&sid), before, "it is made up for by the next check");
}

#[test]
fn a_touch_that_other_checks_hold_up_is_skipped() {
    let (mut first, mut second) = (app(), app());
    let sid = new_sid();
    first.open(&sid);
    first.has_been_idle(&sid, "1 hour");
    first.run("BEGIN");
    assert!(first.check(&sid));
    refuse_to_wait(&mut second);
    assert!(second.check(&sid));
    first.run("COMMIT");
}

#[test]
fn a_transaction_that_has_checked_holds_up_no_check_nor_login_of_others() {
    let (mut first, mut second) = (app(), app());
    let sid = new_sid();
    let user = unique("user");
    first.open_as(&sid, &user);
    first.run("BEGIN");
    assert!(first.check(&sid));
    refuse_to_wait(&mut second);
    second.open_as(&sid, &user);
    assert!(second.close_sid(&sid));
    first.run("COMMIT");
}

#[test]
fn parallel_requests_of_one_session_never_fail_in_any_isolation_level() {
    // So short a delay that nearly every check touches: a hundredth of it is the least age of a touch.
    let database = own_database();
    database.set_params(&[(param::DELAY, "2")]);
    for level in ISOLATION_LEVELS {
        database.connect().open("sid");
        let clients: Vec<Client> = (0..5).map(|_| database.connect()).collect();
        let ends = all_at_once(clients, move |client, _| {
            let end = Instant::now() + Duration::from_millis(600);
            let mut failures = Vec::new();
            let mut checks = 0;
            // On a busy machine for longer, until there are as many as make parallel requests.
            while Instant::now() < end || checks < 20 && failures.is_empty() {
                begin(client, level);
                let check = client.query_one("SELECT session_timeout.check_session('sid')", &[]);
                match outcome(check).map(|row| row.get::<_, bool>(0)) {
                    Ok(true) => checks += 1,
                    other => failures.push(format!("{other:?}")),
                }
                failures.extend(outcome(client.batch_execute("COMMIT")).err());
            }
            failures
        });
        assert_eq!(ends.concat(), [] as [String; 0], "{level}");
    }
}

#[test]
fn a_check_in_an_old_transaction_sees_a_close_committed_since() {
    for level in ISOLATION_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        other.open(&sid);
        begin(&mut old, level);
        assert!(old.check(&sid));
        assert!(other.close_sid(&sid));
        assert!(!old.check(&sid), "{level}");
        old.run("COMMIT");
    }
}

#[test]
fn a_check_in_an_old_transaction_sees_an_opening_committed_since() {
    for level in ISOLATION_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        begin(&mut old, level);
        assert!(!old.check(&sid));
        other.open(&sid);
        assert!(old.check(&sid), "{level}");
        old.run("COMMIT");
    }
}

#[test]
fn a_check_sees_nothing_of_what_another_has_not_committed() {
    for (what, statement) in HELD_BY {
        let (sid, mut holder) = held(statement, "1 minute");
        assert!(app().check(&sid), "{what}");
        assert!(!app().check(&format!("{sid}-new")), "{what}");
        holder.run("ROLLBACK");
    }
}

/// The rounds that one connection plays against checkers: in each it opens a session and ends it.
struct Game {
    sids: Vec<String>,
    /// How many sessions have been opened, and how many of these ended, with the commit having returned.
    opened: AtomicUsize,
    ended: AtomicUsize,
    checks: AtomicUsize,
    over: AtomicBool,
}

impl Game {
    /// Lets the checkers look a few times.
    fn pause(&self) {
        let goal = self.checks.load(Ordering::SeqCst) + 4;
        while self.checks.load(Ordering::SeqCst) < goal && !self.over.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }

    /// Checks the newest session until the game is over; how many checks said true, having begun after its end.
    fn watch(&self, checker: &mut Client) -> usize {
        let mut stale = 0;
        while !self.over.load(Ordering::SeqCst) {
            let round = self.opened.load(Ordering::SeqCst);
            let has_ended = self.ended.load(Ordering::SeqCst) >= round;
            if round > 0 && checker.check(&self.sids[round - 1]) && has_ended {
                stale += 1;
            }
            self.checks.fetch_add(1, Ordering::SeqCst);
        }
        stale
    }
}

/// Hundreds of rounds of opening and ending a session, watched by checkers in each isolation level, some of them in one
/// long transaction.
fn no_stale_check(end: fn(&mut Client, sid: &str)) {
    const ROUNDS: usize = 150;
    let game = Arc::new(Game {
        sids: (0..ROUNDS).map(|_| new_sid()).collect(),
        opened: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        checks: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let stale = all_at_once((0..4).map(|_| app()), move |client, n| {
        if n > 0 {
            begin(client, ISOLATION_LEVELS[n - 1]);
            return game.watch(client);
        }
        for (round, sid) in game.sids.iter().enumerate() {
            client.open_as(sid, sid);
            game.opened.store(round + 1, Ordering::SeqCst);
            game.pause();
            end(client, sid);
            game.ended.store(round + 1, Ordering::SeqCst);
            game.pause();
        }
        game.over.store(true, Ordering::SeqCst);
        0
    });
    assert_eq!(
        stale.iter().sum::<usize>(),
        0,
        "checks that said true after the end's commit had returned"
    );
}

#[test]
fn after_a_close_has_returned_no_check_says_true() {
    no_stale_check(|client, sid| assert!(client.close_sid(sid)));
}

#[test]
fn after_a_revocation_has_returned_no_check_says_true() {
    no_stale_check(|client, sid| assert_eq!(client.close_user(sid), 1));
}

#[test]
fn after_a_rotation_has_returned_no_check_of_the_old_session_says_true() {
    no_stale_check(|client, sid| assert!(client.rotate(sid, &new_sid())));
}

#[test]
fn after_a_delete_by_hand_has_returned_no_check_says_true() {
    no_stale_check(|client, sid| {
        let deleted = client.write(
            "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
            &[&sid],
        );
        assert_eq!(deleted, 1);
    });
}

/// Parameters written again and again while checkers look. In round n the paths `/1` to `/n` become ignored, and
/// `/never` does in a transaction that is rolled back.
fn race_parameters(write: fn(&mut Client, urls: &str)) {
    const ROUNDS: usize = 60;
    let database = own_database();
    database.connect().open("sid");
    let written = Arc::new(AtomicUsize::new(0));
    let clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    let wrong = all_at_once(clients, move |client, n| {
        let mut wrong = Vec::new();
        if n == 0 {
            let mut urls = String::from("/0");
            for round in 1..=ROUNDS {
                client.run("BEGIN");
                write(client, "/never");
                client.run("ROLLBACK");
                urls += &format!(",/{round}");
                write(client, &urls);
                written.store(round, Ordering::SeqCst);
            }
            return wrong;
        }
        begin(client, ISOLATION_LEVELS[n - 1]);
        loop {
            let round = written.load(Ordering::SeqCst);
            let ignores = |client: &mut Client, url: &str| client.verdict_url("sid", url).status == "ignored";
            if round > 0 && !ignores(client, &format!("/{round}")) {
                wrong.push(format!("round {round} was committed, and not in force"));
            }
            if ignores(client, "/never") {
                wrong.push(format!("round {round}: what was never committed was in force"));
            }
            if round == ROUNDS {
                return wrong;
            }
        }
    });
    assert_eq!(wrong.concat(), [] as [String; 0]);
}

#[test]
fn a_parameter_set_by_function_is_in_force_for_every_check_after_its_commit() {
    race_parameters(|client, urls| {
        client.set_param(param::IGNORED_URL, Some(urls));
    });
}

#[test]
fn a_parameter_updated_by_hand_is_in_force_for_every_check_after_its_commit() {
    race_parameters(|client, urls| {
        let updated = client.write(
            "UPDATE session_timeout.config_parameter SET value = $2 WHERE key = $1",
            &[&param::IGNORED_URL, &urls],
        );
        assert_eq!(updated, 1);
    });
}

#[test]
fn a_parameter_change_in_flight_is_waited_for_by_no_check() {
    let database = own_database();
    let (mut setter, mut checker) = (database.connect(), database.connect());
    checker.open("sid");
    setter.run("BEGIN");
    setter.set_param(param::DELAY, Some("1"));
    refuse_to_wait(&mut checker);
    assert!(checker.check("sid"));
    setter.run("ROLLBACK");
}
