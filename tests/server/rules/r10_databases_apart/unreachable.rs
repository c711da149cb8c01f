//! Databases that take no connection, or keep their catalogs locked, hold no worker back from the others.

use std::time::Duration;

use session_timeout_tests::{eventually, param, stays};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SOON, SessionCalls, open_expired, open_many, wait_until_gone, worker_figure};

/// Whoever moves a database keeps everybody from connecting to it, the worker too.
#[test]
fn a_database_that_takes_no_connection_keeps_no_worker_from_the_others() {
    let server = preloaded::builder().setting("session_timeout.max_workers", "1").start();
    let params = [(param::FLUSH_INTERVAL, "1 day"), (param::PURGE_INTERVAL, "1")];
    let [moved, other] = ["moved", "other"].map(|hint| preloaded::database_on(&server, hint, &params));
    let mut client = moved.connect();
    // By its row alone it is past its limit in a moment, so that each purge looks whether it is.
    client.open("used");
    client.has_been_idle("used", "7199 seconds");
    assert!(client.check("used"));
    drop(client);
    let mut admin = server.connect();
    let name = moved.name();
    eventually("nobody is in it", SOON, || {
        // It waits for the worker to leave, and then holds its lock.
        admin.run("BEGIN");
        let is_held = admin
            .batch_execute(&format!("ALTER DATABASE {name} RENAME TO {name}_now"))
            .is_ok();
        if !is_held {
            admin.run("ROLLBACK");
        }
        is_held
    });
    eventually("a worker waits for it", SOON, || {
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'object' AND NOT granted)";
        server.connect().value::<bool>(sql, &[])
    });
    let mut client = other.connect();
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    admin.run("ROLLBACK");
    let mut client = moved.connect();
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    assert_eq!(worker_figure(&mut client, "failures"), 0);
}

/// Whoever may do DDL in a database can keep its catalogs locked, and its workers with them.
#[test]
fn a_database_that_keeps_its_catalogs_locked_keeps_no_worker_from_the_others() {
    let server = preloaded::builder().setting("session_timeout.max_workers", "1").start();
    let other = preloaded::database_on(&server, "other", &QUICK);
    let mut client = other.connect();
    let locks = [
        "LOCK TABLE pg_catalog.pg_depend IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE",
        "ALTER SEQUENCE session_timeout.session_event_id_seq CACHE 1",
    ];
    let locked = locks.map(|_| preloaded::database_on(&server, "locked", &QUICK));
    let mut holders = Vec::new();
    for (database, lock) in locked.iter().zip(locks) {
        let mut holder = database.connect();
        open_expired(&mut holder, "forgotten");
        holder.run("BEGIN");
        holder.run(lock);
        holders.push(holder);
    }
    for database in &locked {
        eventually("a worker has given up waiting", SOON, || {
            let sql = "SELECT count(*) FROM session_timeout.stat_worker WHERE datname = $1 AND last_error = '55P03'";
            client.value::<i64>(sql, &[&database.name()]) == 1
        });
    }
    open_expired(&mut client, "forgotten");
    wait_until_gone(&mut client, "forgotten");
    for (database, mut holder) in locked.iter().zip(holders) {
        holder.run("ROLLBACK");
        wait_until_gone(&mut database.connect(), "forgotten");
        assert_eq!(
            worker_figure(&mut holder, "failures"),
            0,
            "a lock of others is no failure"
        );
    }
}

#[test]
fn databases_are_looked_up_again_after_their_catalog_was_locked() {
    let server = preloaded::builder().start();
    let database = preloaded::database_on(&server, "served", &QUICK);
    let mut client = database.connect();
    let mut holder = server.connect();
    holder.run("BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE");
    let said = || server.log().matches("could not scan pg_database").count();
    eventually("the launcher has given up waiting", SOON, || said() > 0);
    open_expired(&mut client, "forgotten");
    holder.run("ROLLBACK");
    wait_until_gone(&mut client, "forgotten");
    assert_eq!(said(), 1, "it is said once");
    // Made since.
    preloaded::database_on(&server, "new", &QUICK);
}

#[test]
fn a_database_that_allows_no_connections_is_served_once_it_does() {
    let server = preloaded::builder().start();
    let closed = server.database("closed");
    closed.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let mut client = closed.connect();
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '7198 s'");
    server.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", closed.name()));
    let begun = server.log().len();
    let attempts = || server.log()[begun..].matches("not currently accepting").count();
    // Long enough for several passes. One may have been on its way.
    stays("no worker comes to it", Duration::from_secs(6), || attempts() <= 1);
    server.execute(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", closed.name()));
    eventually("it is served again", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
}
