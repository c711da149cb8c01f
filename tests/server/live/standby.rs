//! A primary and a hot standby, both with the library preloaded, and what becomes of the sessions at a failover.

use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, error_of, eventually, param, stays};

use crate::support::{
    Book, Life, Load, SOON, SessionCalls, Told, assert_kept, assert_no_process_broke, assert_settles, check_many,
    connect, open_many, preloaded, processes, size, written_until,
};

/// Waits until the standby has replayed all that the primary has committed.
#[track_caller]
fn catch_up(primary: &Server, standby: &Server) {
    let end: String = primary.connect().value("SELECT pg_current_wal_lsn()::text", &[]);
    let mut client = standby.connect();
    eventually("the standby catches up", SOON, || {
        client.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&end])
    });
}

#[test]
fn a_standby_checks_what_was_replayed_and_writes_nothing() {
    let primary = preloaded::builder().start();
    let database = primary.database("standby");
    let standby = primary.standby();
    let mut here = database.connect();
    open_many(&mut here, "sid", 20);
    here.open_limited("brief", Some("1 second"), None);
    catch_up(&primary, &standby);
    let mut there = connect(&standby, database.name());

    // Its touches are seen by all of its own backends.
    let row = there.peek("sid-1").last_activity.expect("activity");
    assert!(there.check("sid-1"));
    let mut other = connect(&standby, database.name());
    let touched = other.peek("sid-1").last_activity.expect("activity");
    assert!(touched > row, "{touched} is not after {row}");
    assert_eq!(
        here.peek("sid-1").last_activity,
        Some(row),
        "the primary knows nothing of it"
    );
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        there.run(&format!("BEGIN ISOLATION LEVEL {level}, READ ONLY"));
        assert!(there.check("sid-2"));
        assert!(!there.check("nobody"));
        there.run("ROLLBACK");
    }
    assert!(
        other.peek("sid-2").last_activity > Some(row),
        "a rollback keeps the touch"
    );

    // Nobody is marked, and nothing expires, there: the primary may have seen more of it.
    eventually("it is past its limit", SOON, || {
        there.peek("brief").status == "idle_expired"
    });
    assert_eq!(there.verdict("brief").status, "idle_expired");
    assert_eq!(check_many(&mut there, "sid", 20), 20);
    assert_eq!(processes(&mut there, "session_timeout launcher"), [0; 0]);
    assert_eq!(processes(&mut there, "session_timeout worker"), [0; 0]);

    // What changes sessions is refused, as PostgreSQL refuses any write there.
    for call in [
        "open_session('new')",
        "close_session('sid-1')",
        "purge_sessions()",
        "rotate_session('sid-1', 'x')",
    ] {
        let error = error_of(there.query(&format!("SELECT session_timeout.{call}"), &[]));
        assert_eq!(error.sqlstate, "25006", "{call}");
    }
    assert!(there.check("sid-1"));
    assert_no_process_broke(&standby);
}

#[test]
fn a_session_that_a_standby_refused_lives_on_where_the_primary_saw_it() {
    let primary = preloaded::builder().start();
    let database = primary.database("seen");
    database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
    let standby = primary.standby();
    let mut here = database.connect();
    here.open_limited("sid", Some("4 seconds"), None);
    catch_up(&primary, &standby);
    let mut there = connect(&standby, database.name());
    assert!(there.check("sid"));
    // The standby is asked again only after the primary has kept it alive past its deadline.
    stays("it is valid on the primary", Duration::from_secs(7), || {
        here.check("sid")
    });
    eventually("its activity has come over", SOON, || {
        assert!(here.check("sid"));
        there.check("sid")
    });
}

#[test]
fn what_the_primary_commits_counts_on_the_standby_once_it_is_replayed() {
    let primary = preloaded::builder().start();
    let database = primary.database("replay");
    let standby = primary.standby();
    let mut here = database.connect();
    catch_up(&primary, &standby);
    let mut there = connect(&standby, database.name());
    let mut old = connect(&standby, database.name());
    for round in 0..size(20, 300) {
        let sid = format!("sid-{round}");
        here.open_as(&sid, "user");
        catch_up(&primary, &standby);
        assert!(there.check(&sid));
        // A transaction there that has its snapshot.
        old.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert!(old.check(&sid));
        match round % 4 {
            0 => assert!(here.close_sid(&sid)),
            1 => assert_eq!(here.close_user("user"), 1),
            2 => assert!(here.rotate(&sid, &format!("{sid} again"))),
            _ => here.run("TRUNCATE session_timeout.session"),
        }
        if round % 4 == 3 {
            // Replaying a TRUNCATE waits for whoever still holds a lock there.
            old.run("ROLLBACK");
        }
        catch_up(&primary, &standby);
        assert!(
            !there.check(&sid),
            "closed on the primary, valid on the standby (round {round})"
        );
        if round % 4 != 3 {
            assert!(
                !old.check(&sid),
                "valid in an old transaction of the standby (round {round})"
            );
            old.run("ROLLBACK");
        }
        if round % 4 == 2 {
            assert!(there.check(&format!("{sid} again")));
            assert!(here.close_sid(&format!("{sid} again")));
        }
        // Opened anew, it is another session.
        here.open(&sid);
        catch_up(&primary, &standby);
        assert!(there.check(&sid));
        assert!(here.close_sid(&sid));
    }

    // Parameters too, also in a transaction begun before.
    here.open("idle");
    here.has_been_idle("idle", "1 hour");
    catch_up(&primary, &standby);
    assert!(there.peek("idle").valid);
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert!(old.peek("idle").valid);
    here.set_param(param::DELAY, Some("1800"));
    catch_up(&primary, &standby);
    assert_eq!(there.peek("idle").status, "idle_expired");
    assert_eq!(old.peek("idle").status, "idle_expired");
    assert!(!old.check("idle"));
    old.run("ROLLBACK");
    assert_no_process_broke(&standby);
}

#[test]
fn closed_sessions_make_room_on_the_standby() {
    let primary = preloaded::builder()
        .setting("session_timeout.max_sessions", "200")
        .start();
    let database = primary.database("room");
    let standby = primary.standby();
    let mut here = database.connect();
    let mut there = None;
    for round in 0..10 {
        let prefix = format!("sid-{round}");
        open_many(&mut here, &prefix, 100);
        catch_up(&primary, &standby);
        let there = there.get_or_insert_with(|| connect(&standby, database.name()));
        assert_eq!(check_many(there, &prefix, 100), 100);
        here.run("DELETE FROM session_timeout.session");
        catch_up(&primary, &standby);
        assert_eq!(check_many(there, &prefix, 100), 0);
    }
    here.open("new");
    catch_up(&primary, &standby);
    let mut there = there.expect("a connection");
    let opened = there.peek("new").last_activity;
    assert!(there.check("new"));
    assert!(
        there.peek("new").last_activity > opened,
        "the touch was lost: the registry is full of closed sessions"
    );
}

#[test]
fn at_a_failover_sessions_live_on_and_the_worker_starts_by_itself() {
    for round in 0..size(1, 10) {
        let primary = preloaded::builder().start();
        let database = primary.database("failover");
        database.set_params(&[(param::FLUSH_INTERVAL, "1"), (param::PURGE_INTERVAL, "1")]);
        let standby = primary.standby();
        let mut there = connect(&standby, database.name());
        let load = Load::start(&database.config(), &format!("load-{round}"), 4, Book::default());
        load.until("the load has closed sessions", |book| book.count(Life::Closed) > 50);
        let mut here = database.connect();
        let written = written_until(&mut here);
        open_many(&mut here, "seen", 10);
        catch_up(&primary, &standby);
        assert_eq!(check_many(&mut there, "seen", 10), 10);
        // The replication is not synchronous: what is to be there was committed before it caught up.
        catch_up(&primary, &standby);
        primary.kill();
        let mut book = load.end(false);
        assert!(there.value::<bool>("SELECT pg_promote(true, 60)", &[]), "promoted");
        // What was acknowledged last may not have come over.
        let is_old = |told: &Told| told.active.first().is_some_and(|at| *at < written);
        book.sessions.retain(|_, told| told.life == Life::Open && is_old(told));
        assert!(!book.sessions.is_empty());
        assert_kept(&mut there, &mut book, written);

        eventually("the launcher starts", SOON, || {
            processes(&mut there, "session_timeout launcher").len() == 1
        });
        assert_eq!(check_many(&mut there, "seen", 10), 10);
        there.open("new");
        assert!(there.check("new"));
        let checked = Utc::now();
        assert!(there.check("new"));
        eventually("its activity is written down", SOON, || {
            there.stored("new").is_some_and(|row| row.last_activity >= checked)
        });
        let checked = Utc::now();
        assert_eq!(check_many(&mut there, "seen", 10), 10);
        eventually("so is that of sessions which the standby had seen", SOON, || {
            let oldest: DateTime<Utc> = there.value(
                "SELECT min(last_activity) FROM session_timeout.session WHERE digest IN \
                 (SELECT session_timeout.session_digest('seen-' || n) FROM generate_series(1, 10) AS n)",
                &[],
            );
            oldest >= checked
        });
        there.has_been_idle("new", "3 hours");
        eventually("and what has expired is purged", SOON, || {
            there.event_kinds("new") == ["idle_expired"]
        });
        assert!(!there.check("new"));
        assert!(there.close_sid("seen-1"));
        assert!(!there.check("seen-1"));
        assert_eq!(there.event_kinds("seen-1"), ["closed"]);
        assert_settles(&mut there, &book);
        assert_no_process_broke(&standby);
    }
}

/// A standby replays a drop unnoticed.
#[test]
fn a_database_made_anew_under_the_same_oid_has_no_activity_of_the_old_on_the_standby() {
    let primary = preloaded::builder().start();
    primary.execute("CREATE DATABASE template_of_app");
    let mut client = connect(&primary, "template_of_app");
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.open("everywhere");
    client.has_been_idle("everywhere", "1 hour");
    drop(client);
    let standby = primary.standby();
    let make = || {
        primary.execute("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
        catch_up(&primary, &standby);
    };
    let idle = |client: &mut Client| {
        let used = client.peek("everywhere").last_activity.expect("activity");
        Utc::now() - used
    };
    make();
    let mut there = connect(&standby, "app");
    assert!(there.check("everywhere"));
    assert!(idle(&mut there) < TimeDelta::minutes(30));
    drop(there);
    primary.execute("DROP DATABASE app");
    make();
    let mut there = connect(&standby, "app");
    assert!(idle(&mut there) > TimeDelta::minutes(59), "used in the old database");
    assert!(there.check("everywhere"));
    let mut other = connect(&standby, "app");
    assert!(
        idle(&mut other) < TimeDelta::minutes(30),
        "what is seen in the new one is kept"
    );
}
