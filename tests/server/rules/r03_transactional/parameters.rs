//! Parameters count from their commit on, in every backend.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{ISOLATION_LEVELS, SessionCalls, begin, new_sid};

/// Connections that have all checked, one of each isolation level within a transaction that stays open.
fn checkers(database: &Database, sid: &str) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..=ISOLATION_LEVELS.len()).map(|_| database.connect()).collect();
    for (client, level) in clients.iter_mut().zip(ISOLATION_LEVELS) {
        begin(client, level);
    }
    for client in &mut clients {
        assert_eq!(client.peek(sid).status, "active");
    }
    clients
}

#[track_caller]
fn all_say(clients: &mut [Client], sid: &str, status: &str) {
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.peek(sid).status, status, "connection {n}");
    }
}

#[test]
fn a_parameter_counts_at_the_next_check_of_every_backend() {
    let database = preloaded::database("param_seen", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for _ in 0..20 {
        database.set_params(&[(param::DELAY, "1 hour")]);
        all_say(&mut clients, &sid, "idle_expired");
        database.set_params(&[(param::DELAY, "2 hours")]);
        all_say(&mut clients, &sid, "active");
    }
}

#[test]
fn a_parameter_counts_for_others_only_from_its_commit_on() {
    let database = preloaded::database("param_commit", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for (end, status) in [("ROLLBACK", "active"), ("COMMIT", "idle_expired")] {
        admin.run("BEGIN");
        admin.set_param(param::DELAY, Some("1 hour"));
        assert_eq!(admin.peek(&sid).status, "idle_expired");
        all_say(&mut clients, &sid, "active");
        admin.run(end);
        all_say(&mut clients, &sid, status);
        assert_eq!(admin.peek(&sid).status, status);
    }
}

#[test]
fn a_parameter_row_that_is_gone_means_its_default() {
    let database = preloaded::database("param_gone", &QUIET);
    let mut admin = database.connect();
    let sid = new_sid();
    admin.open(&sid);
    admin.has_been_idle(&sid, "90 minutes");
    let mut clients = checkers(&database, &sid);
    for removal in [
        "DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_delay'",
        "TRUNCATE session_timeout.config_parameter",
    ] {
        admin.set_param(param::DELAY, Some("1 hour"));
        all_say(&mut clients, &sid, "idle_expired");
        admin.run(removal);
        all_say(&mut clients, &sid, "active");
    }
}
