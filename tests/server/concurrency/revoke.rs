//! `close_user_sessions` against logins of the user that are in flight.

use crate::support::{InFlight, SNAPSHOT_LEVELS, SessionCalls, app, begin, new_sid, outcome, refuse_to_wait, unique};

/// More logins than there are locks for single users in a transaction.
const MANY: usize = 100;

#[test]
fn a_revocation_waits_for_a_login_in_flight_and_closes_it() {
    for level in SNAPSHOT_LEVELS {
        let (mut login, mut revoker, mut observer) = (app(), app(), app());
        let (sid, user) = (new_sid(), unique("user"));
        begin(&mut revoker, level);
        login.run("BEGIN");
        login.open_as(&sid, &user);
        let revoking = InFlight::start(revoker, move |revoker| {
            let closed = revoker.close_user(&user);
            revoker.run("COMMIT");
            closed
        });
        revoking.is_waiting(&mut observer);
        login.run("COMMIT");
        assert_eq!(revoking.answer(), 1, "{level}");
        assert!(!observer.check(&sid), "{level}");
    }
}

#[test]
fn a_revocation_waits_for_a_login_by_hand_in_flight_and_closes_it() {
    let (mut login, revoker, mut observer) = (app(), app(), app());
    let (sid, user) = (new_sid(), unique("user"));
    login.run("BEGIN");
    login.write(
        "INSERT INTO session_timeout.session (digest, user_name) VALUES (session_timeout.session_digest($1), $2)",
        &[&sid, &user],
    );
    let revoking = InFlight::start(revoker, move |revoker| revoker.close_user(&user));
    revoking.is_waiting(&mut observer);
    login.run("COMMIT");
    assert_eq!(revoking.answer(), 1);
}

#[test]
fn a_revocation_closes_a_session_whose_rotation_is_in_flight() {
    let (mut rotator, revoker, mut observer) = (app(), app(), app());
    let (old, new, user) = (new_sid(), new_sid(), unique("user"));
    rotator.open_as(&old, &user);
    rotator.run("BEGIN");
    assert!(rotator.rotate(&old, &new));
    let revoking = InFlight::start(revoker, move |revoker| revoker.close_user(&user));
    revoking.is_waiting(&mut observer);
    rotator.run("COMMIT");
    assert_eq!(revoking.answer(), 1);
    assert!(!observer.check(&new));
}

#[test]
fn a_revocation_leaves_a_session_that_meanwhile_became_another_users() {
    let (mut login, revoker, mut observer) = (app(), app(), app());
    let (sid, user, other) = (new_sid(), unique("user"), unique("other"));
    login.open_as(&sid, &user);
    login.run("BEGIN");
    login.open_as(&sid, &other);
    let revoking = InFlight::start(revoker, move |revoker| revoker.close_user(&user));
    revoking.is_waiting(&mut observer);
    login.run("COMMIT");
    assert_eq!(revoking.answer(), 0);
    assert!(observer.check(&sid));
}

#[test]
fn a_login_waits_for_a_revocation_in_flight_and_is_a_new_session() {
    for level in SNAPSHOT_LEVELS {
        let (mut login, mut revoker, mut observer) = (app(), app(), app());
        let (sid, user) = (new_sid(), unique("user"));
        revoker.open_as(&sid, &user);
        begin(&mut login, level);
        revoker.run("BEGIN");
        assert_eq!(revoker.close_user(&user), 1);
        let logging_in = InFlight::start(login, {
            let sid = sid.clone();
            move |login| {
                login.open_as(&sid, &user);
                login.run("COMMIT");
            }
        });
        logging_in.is_waiting(&mut observer);
        revoker.run("COMMIT");
        logging_in.answer();
        assert!(observer.check(&sid), "{level}");
        assert_eq!(observer.event_kinds(&sid), ["revoked"], "{level}");
    }
}

#[test]
fn a_login_under_a_new_session_id_waits_for_a_revocation_in_flight_too() {
    let (login, mut revoker, mut observer) = (app(), app(), app());
    let (sid, user) = (new_sid(), unique("user"));
    revoker.run("BEGIN");
    assert_eq!(revoker.close_user(&user), 0);
    let logging_in = InFlight::start(login, {
        let sid = sid.clone();
        move |login| login.open_as(&sid, &user)
    });
    logging_in.is_waiting(&mut observer);
    revoker.run("COMMIT");
    logging_in.answer();
    assert!(observer.check(&sid));
}

#[test]
fn a_revocation_waits_for_a_login_among_very_many_of_one_transaction() {
    let (mut login, revoker, mut observer) = (app(), app(), app());
    let users: Vec<String> = (0..MANY).map(|_| unique("user")).collect();
    login.run("BEGIN");
    for user in &users {
        login.open_as(&new_sid(), user);
    }
    let last = users[MANY - 1].clone();
    let revoking = InFlight::start(revoker, move |revoker| revoker.close_user(&last));
    revoking.is_waiting(&mut observer);
    login.run("COMMIT");
    assert_eq!(revoking.answer(), 1);
}

#[test]
fn a_login_among_very_many_of_one_transaction_waits_for_a_revocation_in_flight() {
    let (mut login, mut revoker, mut observer) = (app(), app(), app());
    let user = unique("user");
    login.run("BEGIN");
    for _ in 0..MANY {
        login.open_as(&new_sid(), &unique("user"));
    }
    login.run("COMMIT");
    revoker.run("BEGIN");
    assert_eq!(revoker.close_user(&user), 0);
    let logging_in = InFlight::start(login, move |login| {
        login.run("BEGIN");
        for _ in 0..MANY {
            login.open_as(&new_sid(), &unique("user"));
        }
        login.open_as(&new_sid(), &user);
        login.run("COMMIT");
    });
    logging_in.is_waiting(&mut observer);
    revoker.run("COMMIT");
    logging_in.answer();
}

#[test]
fn a_revocation_and_very_many_logins_of_one_transaction_do_not_deadlock() {
    let (mut login, revoker, mut observer) = (app(), app(), app());
    let user = unique("user");
    login.run("BEGIN");
    login.open_as(&new_sid(), &user);
    let revoking = InFlight::start(revoker, move |revoker| {
        outcome(
            revoker
                .query_one("SELECT session_timeout.close_user_sessions($1)", &[&user])
                .map(|row| row.get(0)),
        )
    });
    revoking.is_waiting(&mut observer);
    let many = "SELECT session_timeout.open_session($1 || n, $1 || n) FROM generate_series(1, $2) AS n";
    let logins = outcome(login.execute(many, &[&unique("user"), &(MANY as i32)]));
    let _ = login.batch_execute("COMMIT");
    assert_eq!((logins, revoking.answer()), (Ok(MANY as u64), Ok(1_i64)));
}

#[test]
fn a_revocation_in_flight_holds_up_no_login_of_another_user() {
    let (mut login, mut revoker) = (app(), app());
    let (user, other) = (unique("user"), unique("other"));
    revoker.run("BEGIN");
    assert_eq!(revoker.close_user(&user), 0);
    refuse_to_wait(&mut login);
    login.open_as(&new_sid(), &other);
    login.open(&new_sid());
    revoker.run("ROLLBACK");
}

#[test]
fn a_login_in_flight_holds_up_no_revocation_of_another_user() {
    let (mut login, mut revoker) = (app(), app());
    let (user, other) = (unique("user"), unique("other"));
    login.run("BEGIN");
    login.open_as(&new_sid(), &other);
    refuse_to_wait(&mut revoker);
    assert_eq!(revoker.close_user(&user), 0);
    login.run("ROLLBACK");
}

#[test]
fn logins_of_one_user_do_not_hold_up_each_other() {
    let (mut first, mut second) = (app(), app());
    let user = unique("user");
    first.run("BEGIN");
    first.open_as(&new_sid(), &user);
    refuse_to_wait(&mut second);
    second.open_as(&new_sid(), &user);
    first.run("ROLLBACK");
}

#[test]
fn no_revocation_waits_for_a_login_rolled_back_to_a_savepoint() {
    let (mut login, mut revoker) = (app(), app());
    let user = unique("user");
    login.run("BEGIN; SAVEPOINT s");
    login.open_as(&new_sid(), &user);
    login.run("ROLLBACK TO s");
    refuse_to_wait(&mut revoker);
    assert_eq!(revoker.close_user(&user), 0);
    login.run("COMMIT");
}
