//! A failover, and what a standby remembers.

use std::time::Duration;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::{eventually, param, stays};

use crate::support::{
    Book, Life, Load, SOON, SessionCalls, Told, assert_kept, assert_no_process_broke, assert_settles, catch_up,
    check_many, connect, open_many, preloaded, processes, size, written_until,
};

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

#[test]
fn a_session_that_a_standby_refused_lives_on_if_the_primary_saw_it() {
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
