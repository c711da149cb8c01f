//! A session that was found expired is over, whichever function found it, if its transaction is rolled back and if the limit
//! is raised afterwards.

use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUICK, QUIET, and};
use crate::support::{
    ISOLATION_LEVELS, SessionCalls, Swarm, begin, expect, new_sid, open_expired, wait_until_flushed, wait_until_gone,
    wait_until_idle,
};

/// `sql`, with the session for `$1`, finds a session expired in a transaction that is rolled back; then the delay is raised.
#[track_caller]
fn is_final_after(sql: &str) {
    let database = preloaded::database("finality", &QUIET);
    let (mut finder, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    open_expired(&mut finder, &sid);
    finder.run("BEGIN");
    finder.run(&sql.replace("$1", &format!("'{sid}'")));
    other.set_param(param::DELAY, Some("1 day"));
    assert!(!other.check(&sid), "before the rollback");
    finder.run("ROLLBACK");
    assert!(!other.check(&sid), "after it");
    wait_until_gone(&mut other, &sid);
    assert_eq!(other.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_that_a_check_found_expired_is_over() {
    is_final_after("SELECT session_timeout.check_session($1)");
}

#[test]
fn a_session_that_a_rotation_found_expired_is_over() {
    is_final_after("SELECT session_timeout.rotate_session($1, $1 || '-new')");
}

#[test]
fn a_session_that_a_rotation_onto_it_found_expired_is_over() {
    is_final_after(
        "SELECT session_timeout.open_session($1 || '-old'); SELECT session_timeout.rotate_session($1 || '-old', $1)",
    );
}

#[test]
fn a_session_that_the_purge_by_hand_found_expired_is_over() {
    is_final_after("SELECT session_timeout.purge_sessions()");
}

#[test]
fn a_session_that_a_login_found_expired_is_over() {
    is_final_after("SELECT session_timeout.open_session($1)");
}

#[test]
fn a_session_found_expired_after_a_savepoint_is_over() {
    is_final_after("SAVEPOINT s; SELECT session_timeout.rotate_session($1, $1 || '-new'); ROLLBACK TO SAVEPOINT s");
}

/// A transaction that has changed more sessions than it lists goes by rows; what it finds of others' sessions is no less final.
#[test]
fn a_session_found_expired_after_changes_of_many_others_is_over() {
    let open_many = "SELECT count(session_timeout.open_session($1 || n)) FROM generate_series(1, 300) n";
    is_final_after(&format!("{open_many}; SELECT session_timeout.check_session($1)"));
}

#[test]
fn an_expiry_by_uncommitted_limits_is_undone_by_the_rollback() {
    let database = preloaded::database("finality_own", &QUIET);
    let (mut finder, mut other) = (database.connect(), database.connect());
    for limit in [
        format!(
            "UPDATE session_timeout.config_parameter SET value = '1' WHERE key = '{}'",
            param::DELAY
        ),
        "UPDATE session_timeout.session SET idle_delay = '1 second'".to_owned(),
    ] {
        let sid = new_sid();
        finder.open(&sid);
        finder.has_been_idle(&sid, "1 minute");
        finder.run("BEGIN");
        finder.run(&limit);
        assert!(!finder.check(&sid), "{limit}");
        assert!(other.check(&sid), "{limit}");
        finder.run("ROLLBACK");
        assert!(other.check(&sid), "{limit}");
    }
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
fn an_expiry_outlasts_a_raised_delay() {
    let database = preloaded::database("expiry_raised", &QUIET);
    let mut clients: Vec<Client> = (0..4).map(|_| database.connect()).collect();
    let (admin, checkers) = clients.split_first_mut().expect("four");
    // The rows stay while this holds them: only the expired flag says that they are expired.
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
fn an_expiry_after_a_flush_outlasts_a_raised_delay() {
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
fn a_parameter_that_is_rolled_back_expired_no_session() {
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

/// It was not open any more, and yet its row is not to outlive the revocation: a crash would forget that it was found expired.
#[test]
fn a_revocation_ends_sessions_that_were_found_expired() {
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
