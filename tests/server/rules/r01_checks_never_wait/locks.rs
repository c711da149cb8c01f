//! Many clients check one session, whose row others hold: none of them waits or fails.

use session_timeout_tests::Database;
use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUICK};
use crate::support::{STRICT_LEVELS, SessionCalls, all_at_once, begin, new_sid, outcome, refuse_to_wait};

/// Eight connections check one session twice in each of many transactions, which stay open for 10 ms: none may fail,
/// wait or say false.
#[track_caller]
fn eight_check(database: &Database, sid: &str, level: &'static str) {
    let clients: Vec<Client> = (0..8).map(|_| database.connect()).collect();
    let sid = sid.to_owned();
    let answers = all_at_once(clients, move |client, _| {
        refuse_to_wait(client);
        let mut answers = Vec::new();
        for _ in 0..10 {
            begin(client, level);
            for _ in 0..2 {
                let row = client.query_one("SELECT session_timeout.check_session($1)", &[&sid]);
                answers.push(outcome(row).map(|row| row.get::<_, bool>(0)));
                client.run("SELECT pg_sleep(0.005)");
            }
            answers.push(outcome(client.batch_execute("COMMIT")).map(|()| true));
        }
        answers
    });
    for answer in answers.into_iter().flatten() {
        assert_eq!(answer, Ok(true), "{level}");
    }
}

#[test]
fn no_check_of_eight_clients_on_one_session_fails() {
    let database = preloaded::database("eight", &QUICK);
    let sid = new_sid();
    database.connect().open(&sid);
    for level in STRICT_LEVELS {
        eight_check(&database, &sid, level);
    }
}

#[test]
fn eight_clients_can_check_a_session_whose_row_is_locked() {
    let database = preloaded::database("eight_locked", &QUICK);
    let sid = new_sid();
    let mut holder = database.connect();
    holder.open(&sid);
    for level in STRICT_LEVELS {
        holder.run("BEGIN");
        holder.write(
            "SELECT FROM session_timeout.session WHERE digest = session_timeout.session_digest($1) FOR UPDATE",
            &[&sid],
        );
        eight_check(&database, &sid, level);
        holder.run("ROLLBACK");
    }
}

#[test]
fn eight_clients_can_check_a_session_whose_close_is_not_committed() {
    let database = preloaded::database("eight_closing", &QUICK);
    let sid = new_sid();
    let mut holder = database.connect();
    holder.open(&sid);
    for level in STRICT_LEVELS {
        holder.run("BEGIN");
        assert!(holder.close_sid(&sid));
        eight_check(&database, &sid, level);
        holder.run("ROLLBACK");
    }
}
