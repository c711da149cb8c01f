//! Without preload, too, no check that starts after a commit has returned answers from before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::{ISOLATION_LEVELS, SessionCalls, all_at_once, app, begin, new_sid, own_database};

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

/// A session is opened and ended hundreds of times, watched by checkers in each isolation level, some of them in one
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
