//! Many databases are served by few workers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::{Server, eventually, param, settles, stays};

use crate::support::preloaded;
use crate::support::{SOON, SessionCalls, assert_no_process_broke, check_many, open_many, size, transactions};

/// Looks at the workers as often as it can.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

#[derive(Default)]
struct Watched {
    most_at_once: usize,
    databases: BTreeSet<String>,
}

impl Watch {
    fn start(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = server.connect();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut watched = Watched::default();
            let sql =
                "SELECT coalesce(datname, '') FROM pg_stat_activity WHERE backend_type = 'session_timeout worker'";
            let statement = client.prepare(sql).expect("prepare");
            while !stopped.load(Ordering::Relaxed) {
                let rows = client.query(&statement, &[]).expect("pg_stat_activity");
                watched.most_at_once = watched.most_at_once.max(rows.len());
                watched.databases.extend(rows.iter().map(|row| row.get::<_, String>(0)));
                thread::sleep(Duration::from_millis(3));
            }
            watched
        });
        Self { stop, thread }
    }

    fn end(self) -> Watched {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch")
    }
}

#[test]
fn many_databases_are_served_in_their_time_by_a_few_workers() {
    let server = preloaded::builder()
        .setting("autovacuum", "off")
        .setting("session_timeout.max_sessions", "150000")
        .start();
    let databases = size(12, 50);
    let watch = Watch::start(&server);
    let mut with = Vec::new();
    let mut without = Vec::new();
    for n in 0..databases {
        if n % 2 == 0 {
            let database = server.database("served");
            database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
            with.push(database);
        } else {
            without.push(server.database_builder("without").without_extension().create());
        }
    }
    for _ in 0..2 {
        let begun: DateTime<Utc> = Utc::now();
        for database in &with {
            let mut client = database.connect();
            client.run("DELETE FROM session_timeout.session; DELETE FROM session_timeout.session_event");
            open_many(&mut client, "active", 3000);
            open_many(&mut client, "idle", 10);
            client.run(
                "UPDATE session_timeout.session SET last_activity = '2020-01-01' \
                 WHERE digest IN (SELECT session_timeout.session_digest('idle-' || n) FROM generate_series(1, 10) AS n)",
            );
            assert_eq!(check_many(&mut client, "active", 3000), 3000);
        }
        for database in &with {
            let mut client = database.connect();
            eventually("its sessions are flushed and purged", SOON, || {
                let row = client
                    .query_one(
                        "SELECT count(*) FILTER (WHERE last_activity >= $1 AND last_activity > opened_at), count(*), \
                                (SELECT count(*) FROM session_timeout.session_event WHERE kind = 'idle_expired') \
                         FROM session_timeout.session",
                        &[&begun],
                    )
                    .expect("sessions");
                (0..3).map(|n| row.get::<_, i64>(n)).eq([3000, 3000, 10])
            });
        }
    }
    // The statistics come a little later.
    let mut observer = server.connect();
    let a_while = Duration::from_millis(1500);
    let seen = settles("databases without the extension are left alone", SOON, a_while, || {
        transactions(&mut observer, "^without")
    });
    let watched = watch.end();
    assert!(watched.most_at_once <= 2, "{} workers at once", watched.most_at_once);
    let watch = Watch::start(&server);
    let mut client = with[0].connect();
    stays("active sessions are valid", Duration::from_secs(3), || {
        check_many(&mut client, "active", 20) == 20
    });
    let watched = watch.end();
    assert!(
        !watched.databases.iter().any(|name| name.starts_with("without")),
        "{:?}",
        watched.databases
    );
    assert_eq!(
        seen,
        transactions(&mut observer, "^without"),
        "a worker came to a database without the extension"
    );
    assert_no_process_broke(&server);
}

#[test]
fn a_database_is_served_soon_after_its_extension_is_created() {
    let server = preloaded::builder().setting("autovacuum", "off").start();
    let late = server.database_builder("late").without_extension().create();
    // A worker has looked, and found nothing.
    let mut observer = server.connect();
    eventually("a worker has come by", SOON, || {
        transactions(&mut observer, "^late")
            .iter()
            .any(|(_, number)| *number > 0)
    });
    let mut client = late.connect();
    client.run("CREATE EXTENSION inactive_session_timeout");
    open_many(&mut client, "idle", 10);
    client.run("UPDATE session_timeout.session SET last_activity = '2020-01-01'");
    client.set_param(param::PURGE_INTERVAL, Some("1"));
    // The launcher was told: it does not look again by itself.
    eventually("its sessions are purged", SOON, || {
        client.value::<i64>("SELECT count(*) FROM session_timeout.session_event", &[]) == 10
    });
    // Dropped, it is left alone.
    client.run("DROP EXTENSION inactive_session_timeout");
    drop(client);
    settles("it is left alone", SOON, Duration::from_secs(2), || {
        transactions(&mut observer, "^late")
    });
}
