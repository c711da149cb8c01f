//! Nothing of a dropped database counts in a new one, not even if the new one gets its OID.

use session_timeout_tests::chrono::{TimeDelta, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Shutdown, eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET, install};
use crate::support::{SOON, SessionCalls, check_many, connect, open_many, size, transactions};

fn entries(client: &mut Client) -> i64 {
    client.value("SELECT entries FROM session_timeout.stat_session_timeout", &[])
}

#[test]
fn nothing_of_a_dropped_database_stays_in_memory() {
    let server = preloaded::builder().start();
    let observing = server.database("observing");
    let mut observer = observing.connect();
    for round in 0..size(2, 20) {
        // Of the same name, in which nothing of the old is found.
        server.execute("CREATE DATABASE again");
        let mut client = connect(&server, "again");
        client.run("CREATE EXTENSION inactive_session_timeout");
        assert_eq!(check_many(&mut client, "sid", 500), 0, "sessions of a dropped database");
        let before: i64 = client.value(
            "SELECT coalesce(sum(flushed + expired + purged), 0)::bigint FROM session_timeout.stat_worker \
             WHERE datname = current_database()",
            &[],
        );
        assert_eq!(before, 0, "what was done in a dropped database");
        open_many(&mut client, "sid", 500);
        assert_eq!(check_many(&mut client, "sid", 500), 500);
        // Some of them expired.
        client.run(&format!(
            "UPDATE session_timeout.session SET last_activity = '2020-01-01' \
             WHERE digest IN (SELECT session_timeout.session_digest('sid-' || n) FROM generate_series(1, 100) AS n); \
             SELECT count(session_timeout.check_session('sid-' || n)) FROM generate_series(1, {}) AS n",
            100 + round
        ));
        drop(client);
        server.execute("DROP DATABASE again");
        eventually("its sessions are forgotten", SOON, || entries(&mut observer) == 0);
        let shown: i64 = observer.value(
            "SELECT count(*) FROM session_timeout.stat_worker WHERE datname IS NULL OR datname = 'again'",
            &[],
        );
        assert_eq!(shown, 0);
    }
}

/// The launcher does not look before the shutdown.
#[test]
fn nothing_of_a_database_that_was_dropped_just_before_a_shutdown_comes_back() {
    let server = preloaded::builder().setting("session_timeout.naptime", "3600").start();
    let observing = server.database("observing");
    let vanishing = preloaded::database_on(&server, "vanishing", &QUIET);
    let mut client = vanishing.connect();
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    drop(client);
    drop(vanishing);
    assert_eq!(entries(&mut observing.connect()), 0);
    server.restart(Shutdown::Fast);
    assert_eq!(entries(&mut observing.connect()), 0);
}

/// A copy of a template has the tables of the template's OIDs, so that only the database's own tells one copy from the next.
#[test]
fn a_new_database_with_the_oid_of_a_dropped_one_has_none_of_its_sessions() {
    for naptime in ["1", "3600"] {
        let server = preloaded::builder().setting("session_timeout.naptime", naptime).start();
        server.execute("CREATE DATABASE template_of_app");
        let mut client = connect(&server, "template_of_app");
        client.run("CREATE EXTENSION inactive_session_timeout");
        client.open("everywhere");
        client.has_been_idle("everywhere", "1 hour");
        drop(client);
        let make = || server.execute("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
        make();
        let mut client = connect(&server, "app");
        client.open("only here");
        assert!(client.check("only here") && client.check("everywhere"));
        // A change that is counted as often as the new database's first.
        client.set_param(param::DELAY, Some("1 day"));
        assert!(client.check("only here"));
        drop(client);
        server.execute("DROP DATABASE app");
        make();
        let mut client = connect(&server, "app");
        assert!(!client.check("only here"), "a session of the old database validates");
        let used = client.peek("everywhere").last_activity.expect("activity");
        assert!(
            Utc::now() - used > TimeDelta::minutes(59),
            "used in the old database: {used}"
        );
        client.set_param(param::DELAY, Some("30 min"));
        assert!(!client.check("everywhere"));
    }
}

#[test]
fn a_database_with_the_oid_of_one_without_the_extension_is_served() {
    let server = preloaded::builder().setting("session_timeout.naptime", "5").start();
    let mut observer = server.connect();
    server.execute("CREATE DATABASE template_of_app");
    let mut client = connect(&server, "template_of_app");
    client.run(&install(&QUICK));
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    eventually("the template is purged", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    open_many(&mut client, "active", 10);
    drop(client);
    server.execute("CREATE DATABASE app OID = 70000");
    eventually("a worker has come by", SOON, || {
        transactions(&mut observer, "^app")
            .iter()
            .any(|(_, number)| *number > 0)
    });
    // Between two looks of the launcher, mostly.
    observer.run("DROP DATABASE app");
    observer.run("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
    let served = "SELECT next_purge IS NOT NULL FROM session_timeout.stat_worker WHERE datname = 'app' AND last_pass IS NOT NULL";
    let mut client = connect(&server, "template_of_app");
    eventually("a worker looks at it", SOON, || {
        client.query_opt(served, &[]).expect("stat_worker").is_some()
    });
}
