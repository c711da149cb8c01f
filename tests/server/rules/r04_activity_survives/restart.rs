//! Restarts, under load and after a crash of a backend.

use std::thread;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::{Shutdown, eventually, param};

use crate::support::preloaded;
use crate::support::{
    Book, Life, Load, SOON, SessionCalls, assert_kept, assert_no_process_broke, assert_settles, check_many,
    connect_again, oldest_activity, open_many, signal, size, snapshot_files, written_until,
};

/// Restarts under load: all that was acknowledged is there, but for the activity since the last flush where it is no clean
/// restart.
fn restart_under_load(rounds: usize, how: Shutdown) {
    let is_clean = how != Shutdown::Immediate;
    let server = preloaded::builder().start();
    let database = server.database("restart");
    // A flush that comes by would hide what a restart loses.
    database.set_params(&[(param::FLUSH_INTERVAL, if is_clean { "60" } else { "1" })]);
    database.set_params(&[(param::PURGE_INTERVAL, if is_clean { "1 hour" } else { "1" })]);
    let mut book = Book::default();
    for round in 0..rounds {
        let closed = book.count(Life::Closed);
        let load = Load::start(&database.config(), &format!("load-{round}"), 4, book);
        load.until("the load has closed sessions", |book| {
            book.count(Life::Closed) > closed + 50
        });
        let written = (!is_clean).then(|| written_until(&mut database.connect()));
        if how == Shutdown::Smart {
            // It waits for the connections, which go on as long as they like.
            book = thread::scope(|scope| {
                scope.spawn(|| server.stop(how));
                load.end(true)
            });
            server.start();
        } else {
            server.restart(how);
            book = load.end(false);
        }
        let mut client = connect_again(&database.config());
        assert_kept(&mut client, &mut book, written.unwrap_or_else(Utc::now));
    }
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    assert_settles(&mut connect_again(&database.config()), &book);
    assert_no_process_broke(&server);
}

#[test]
fn a_fast_restart_under_load_loses_no_activity() {
    restart_under_load(size(3, 20), Shutdown::Fast);
}

#[test]
fn a_smart_restart_under_load_loses_no_activity() {
    restart_under_load(size(1, 5), Shutdown::Smart);
}

#[test]
fn an_immediate_restart_under_load_loses_a_flush_interval_at_most() {
    restart_under_load(size(1, 10), Shutdown::Immediate);
}

#[test]
fn a_clean_restart_keeps_the_activity_of_every_database() {
    let server = preloaded::builder().start();
    let databases = [server.database("one"), server.database("two"), server.database("three")];
    for database in &databases {
        let mut client = database.connect();
        open_many(&mut client, "sid", 1000);
    }
    let begun = Utc::now();
    for database in &databases {
        assert_eq!(check_many(&mut database.connect(), "sid", 1000), 1000);
    }
    server.restart(Shutdown::Fast);
    for database in &databases {
        let mut client = database.connect();
        assert!(oldest_activity(&mut client) >= begun, "activity was lost");
        // It is not only remembered: it is written down.
        client.set_param(param::FLUSH_INTERVAL, Some("1"));
        eventually("it is written down", SOON, || {
            client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
        });
    }
    let left = snapshot_files(&server);
    assert!(left.is_empty(), "the file is removed once the server serves: {left:?}");
}

/// A postmaster that has restarted its processes after a crash still saves what it should at its shutdown.
#[test]
fn a_clean_restart_after_a_crashed_backend_loses_no_activity() {
    let server = preloaded::builder().start();
    let database = server.database("crashed");
    let mut client = database.connect();
    open_many(&mut client, "sid", 100);
    let pid: i32 = client.value("SELECT pg_backend_pid()", &[]);
    let mut another = database.connect();
    assert!(signal(pid, "KILL"));
    // The postmaster ends that one, too. Until it has noticed, it goes on taking connections.
    eventually("all connections end", SOON, || another.batch_execute("SELECT").is_err());
    let mut client = connect_again(&database.config());
    let begun = Utc::now();
    assert_eq!(check_many(&mut client, "sid", 100), 100);
    drop(client);
    server.restart(Shutdown::Fast);
    assert!(oldest_activity(&mut database.connect()) >= begun, "activity was lost");
}
