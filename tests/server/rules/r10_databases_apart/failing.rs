//! Databases in which maintenance fails are tried less often, and the others are served.

use std::fs;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{eventually, param, stays};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, assert_no_process_broke, open_expired, open_many, size, wait_until_gone, worker_figure,
};

const A_DAY: i64 = 24 * 60 * 60;

#[test]
fn a_failing_database_is_tried_less_often_and_the_others_are_served() {
    let server = preloaded::builder().start();
    let failing = server.database("failing");
    let healthy = server.database("healthy");
    for database in [&failing, &healthy] {
        database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    }
    let mut client = failing.connect();
    // No event can be written.
    let sequence: String = client.value(
        "SELECT pg_get_serial_sequence('session_timeout.session_event', 'id')",
        &[],
    );
    client.run(&format!(
        "SELECT setval('{sequence}', 10); ALTER SEQUENCE {sequence} MAXVALUE 10"
    ));
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    let begun = Instant::now();
    let mut others = healthy.connect();
    let failures = |client: &mut Client| -> (i64, Option<String>) {
        let sql = "SELECT failures, last_error FROM session_timeout.stat_worker WHERE datname = current_database()";
        let row = client.query_one(sql, &[]).expect("stat_worker");
        (row.get(0), row.get(1))
    };
    for n in 0..size(3, 6) {
        open_many(&mut others, &format!("idle-{n}"), 10);
        others.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
        eventually("the healthy one is served", SOON, || {
            others.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10 * (n as i64 + 1)
        });
        eventually("the failing one is tried again", SOON, || {
            failures(&mut client).0 > n as i64
        });
    }
    let (failed, code) = failures(&mut client);
    assert_eq!(code.as_deref(), Some("2200H"));
    // After 1, 2, 4, … seconds.
    let most = (begun.elapsed().as_secs() + 2).ilog2() + 2;
    assert!(failed <= i64::from(most), "{failed} attempts in {:?}", begun.elapsed());
    assert_eq!(
        server.log().matches("session maintenance failed").count(),
        1,
        "it is said once"
    );
    assert!(
        (1..=10).all(|n| !client.check(&format!("idle-{n}"))),
        "expired sessions validate"
    );

    client.run(&format!("ALTER SEQUENCE {sequence} NO MAXVALUE"));
    eventually("it is served again", Duration::from_secs(100), || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    eventually("its failures are over", SOON, || failures(&mut client).0 == 0);
    assert_no_process_broke(&server);
}

/// A schema that is swapped, a table renamed by mistake: nobody tells the launcher when it is whole again.
#[test]
fn a_database_whose_extension_was_damaged_for_a_while_is_served_again() {
    let server = preloaded::builder().start();
    let observing = preloaded::database_on(&server, "observing", &QUIET);
    let mut observer = observing.connect();
    let breaks = [
        (
            "ALTER TABLE session_timeout.session RENAME TO session_x",
            "ALTER TABLE session_timeout.session_x RENAME TO session",
        ),
        (
            "ALTER SCHEMA session_timeout RENAME TO elsewhere",
            "ALTER SCHEMA elsewhere RENAME TO session_timeout",
        ),
        (
            "ALTER SEQUENCE session_timeout.session_event_id_seq RENAME TO seq_x",
            "ALTER SEQUENCE session_timeout.seq_x RENAME TO session_event_id_seq",
        ),
        (
            "ALTER EXTENSION inactive_session_timeout DROP TABLE session_timeout.session_event",
            "ALTER EXTENSION inactive_session_timeout ADD TABLE session_timeout.session_event",
        ),
    ];
    let databases = breaks.map(|_| preloaded::database_on(&server, "broken", &QUICK));
    for (database, (break_it, _)) in databases.iter().zip(breaks) {
        let mut client = database.connect();
        client.open("used");
        client.run(break_it);
    }
    for database in &databases {
        eventually("a pass has failed", SOON, || {
            let sql = "SELECT count(*) FROM session_timeout.stat_worker \
                       WHERE datname = $1 AND failures > 1 AND last_error = '55000'";
            observer.value::<i64>(sql, &[&database.name()]) == 1
        });
    }
    for (database, (_, mend_it)) in databases.iter().zip(breaks) {
        let mut client = database.connect();
        client.run(mend_it);
        open_expired(&mut client, "forgotten");
        wait_until_gone(&mut client, "forgotten");
        eventually("its failures are over", SOON, || {
            worker_figure(&mut client, "failures") == 0
        });
        assert!(client.check("used"));
    }
}

#[test]
fn a_failing_database_is_backed_off_from_after_the_clock_was_set_back() {
    let server = preloaded::builder().own_clock().start();
    server.set_clock(A_DAY);
    let database = preloaded::database_on(&server, "broken", &QUICK);
    let oid: i64 = database.connect().value(
        "SELECT oid::bigint FROM pg_database WHERE datname = current_database()",
        &[],
    );
    // Nobody can connect to it, which PostgreSQL says in its log each time.
    let version = server.data_directory().join(format!("base/{oid}/PG_VERSION"));
    let aside = version.with_extension("aside");
    fs::rename(&version, &aside).expect("the file is moved");
    server.set_clock(0);
    let attempts = || server.log().matches("is not a valid data directory").count();
    eventually("a worker fails", SOON, || attempts() > 0);
    // After 1, 2 and 4 seconds; one more for a busy machine.
    stays("it has five attempts at most", Duration::from_secs(5), || {
        attempts() <= 5
    });
    fs::rename(&aside, &version).expect("the file is moved back");
}
