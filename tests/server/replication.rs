//! Logical replication: what it writes in another database counts there like rows written by hand. An end that was reported
//! where it happened is not reported again.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param};

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls};

/// Two databases of one server: what is committed in the first is applied in the second.
struct Replicated<'s> {
    from: Database<'s>,
    to: Database<'s>,
}

impl<'s> Replicated<'s> {
    fn start(server: &'s Server) -> Self {
        let [from, to] = ["publisher", "subscriber"].map(|hint| preloaded::database_on(server, hint, &QUIET));
        let (host, source, name) = (server.directory().display(), from.name(), to.name());
        from.execute("CREATE PUBLICATION ours FOR TABLE session_timeout.config_parameter, session_timeout.session");
        // Made by hand: a subscription that made it would wait for its own transaction.
        from.execute(&format!(
            "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
        ));
        to.execute(&format!(
            "CREATE SUBSCRIPTION {name} CONNECTION 'host={host} dbname={source} user=postgres' PUBLICATION ours \
             WITH (create_slot = false, copy_data = false)"
        ));
        Self { from, to }
    }
}

impl Drop for Replicated<'_> {
    /// So that the databases can be dropped.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.to.execute(&format!("DROP SUBSCRIPTION {}", self.to.name()));
        }
    }
}

fn minutes_left(client: &mut Client) -> i64 {
    client.value(
        "SELECT ceil(extract(epoch FROM expires_in) / 60)::bigint FROM session_timeout.peek_session('local')",
        &[],
    )
}

#[test]
fn replicated_parameters_count_at_once() {
    let server = preloaded::builder().setting("wal_level", "logical").start();
    let replicated = Replicated::start(&server);
    let (mut publisher, mut client) = (replicated.from.connect(), replicated.to.connect());
    client.open("local");
    assert!(client.check("local"));
    publisher.set_param(param::DELAY, Some("600"));
    eventually("a change counts", SOON, || minutes_left(&mut client) == 10);
    publisher.run("DELETE FROM session_timeout.config_parameter WHERE key = 'inactive_session_time_out_delay'");
    eventually("a deletion counts", SOON, || minutes_left(&mut client) == 120);
    publisher.set_param(param::DELAY, Some("60"));
    eventually("a new row counts", SOON, || minutes_left(&mut client) == 1);
}

#[test]
fn replicated_sessions_count_and_their_ends_are_reported_once() {
    let server = preloaded::builder().setting("wal_level", "logical").start();
    let replicated = Replicated::start(&server);
    let (mut publisher, mut client) = (replicated.from.connect(), replicated.to.connect());
    publisher.open("sid");
    eventually("a login counts", SOON, || client.check("sid"));
    publisher.close_sid("sid");
    eventually("a logout counts", SOON, || !client.check("sid"));
    assert_eq!(publisher.event_kinds("sid"), ["closed"]);
    assert_eq!(client.event_kinds("sid"), [""; 0]);
}
