//! The SQL of each released version with the library as it is now, and across ALTER EXTENSION … UPDATE.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param, shared};

use super::{database_of, newest, released, version_in};
use crate::support::{SOON, SessionCalls, is_resting, new_sid, preloaded, unique};

const UPDATE: &str = "ALTER EXTENSION inactive_session_timeout UPDATE";

/// What every version promises of its functions, tables and triggers.
#[track_caller]
fn use_it(client: &mut Client) {
    let (sid, next, user) = (new_sid(), new_sid(), unique("user"));
    assert!(!client.check(&sid), "never opened");
    client.open_as(&sid, &user);
    assert!(client.check_url(&sid, "/orders"));
    assert_eq!(client.verdict(&sid).status, "active");
    assert_eq!(client.verdict_url(&sid, "/longpolling/poll").status, "ignored");
    assert_eq!(client.peek(&sid).user_name.as_deref(), Some(user.as_str()));
    assert!(client.rotate(&sid, &next));
    assert!(!client.check(&sid) && client.check(&next));
    assert_eq!(client.close_user(&user), 1);
    assert!(!client.check(&next));
    assert_eq!(client.event_kinds(&next), ["revoked"]);

    let limited = new_sid();
    client.open_limited(&limited, Some("15 minutes"), Some("1 hour"));
    assert_eq!(client.verdict(&limited).status, "active");
    client.was_opened_ago(&limited, "61 minutes");
    assert_eq!(client.verdict(&limited).status, "absolute_expired");

    let by_hand = new_sid();
    client.write(
        "INSERT INTO session_timeout.session (digest) VALUES (session_timeout.session_digest($1))",
        &[&by_hand],
    );
    assert!(client.check(&by_hand));
    client.write(
        "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
        &[&by_hand],
    );
    assert!(!client.check(&by_hand));
    assert_eq!(client.event_kinds(&by_hand), ["closed"]);

    let idle = new_sid();
    client.set_param(param::DELAY, Some("10 minutes"));
    client.open(&idle);
    client.has_been_idle(&idle, "11 minutes");
    assert!(!client.check(&idle));
    client.set_param(param::DELAY, Some("7200"));
    assert!(!client.check(&idle), "final");

    client.run(
        "SELECT * FROM session_timeout.active_session; SELECT * FROM session_timeout.stat_session_timeout;
         SELECT * FROM session_timeout.stat_worker; SELECT session_timeout.flush_sessions(), session_timeout.purge_sessions()",
    );
}

/// Hands a database of each released version to `test`, without the library preloaded and with it.
#[track_caller]
fn for_each_release(test: fn(&Database)) {
    for version in released() {
        for server in [shared(), preloaded::server()] as [&Server; 2] {
            test(&database_of(server, &version));
        }
    }
}

#[test]
fn a_release_works_with_this_library() {
    for_each_release(|database| {
        let mut client = database.connect();
        use_it(&mut client);
        assert_ne!(version_in(&mut client), newest());
    });
}

#[test]
fn a_release_that_was_updated_works() {
    for_each_release(|database| {
        let mut client = database.connect();
        use_it(&mut client);
        client.run(UPDATE);
        assert_eq!(version_in(&mut client), newest());
        use_it(&mut client);
    });
}

#[test]
fn an_update_keeps_sessions_events_and_parameters() {
    for_each_release(|database| {
        let (mut admin, mut app) = (database.connect(), database.connect());
        let (open, closed, idle) = (new_sid(), new_sid(), new_sid());
        app.set_param(param::DELAY, Some("15 minutes"));
        app.open_as(&open, "somebody");
        app.open_limited(&idle, Some("5 minutes"), None);
        app.open(&closed);
        app.close_sid(&closed);
        app.has_been_idle(&open, "10 minutes");
        let before = app.peek(&open);

        admin.run(UPDATE);
        for client in [&mut admin, &mut app, &mut database.connect()] {
            let after = client.peek(&open);
            assert_eq!(
                (after.opened_at, after.last_activity),
                (before.opened_at, before.last_activity)
            );
            assert_eq!(client.event_kinds(&closed), ["closed"]);
            let delay: String = client.value("SELECT session_timeout.get_param($1)", &[&param::DELAY]);
            assert_eq!(delay, "15 minutes");
        }
        assert!(app.check(&open));
        app.has_been_idle(&idle, "6 minutes");
        assert!(!app.check(&idle), "by its own limit");
    });
}

/// A database of each released version on the preloaded server, after its worker's first pass.
#[track_caller]
fn for_each_live_release(test: fn(&Database)) {
    for version in released() {
        let database = database_of(preloaded::server(), &version);
        eventually("the worker's first pass", SOON, || is_resting(&database));
        test(&database);
    }
}

#[test]
fn sessions_in_memory_go_on_over_an_update_with_activity_that_no_row_has() {
    for_each_live_release(|database| {
        let (mut admin, mut app, sid) = (database.connect(), database.connect(), new_sid());
        app.set_param(param::FLUSH_INTERVAL, Some("1 day"));
        app.open(&sid);
        app.has_been_idle(&sid, "1 hour");
        assert!(app.check(&sid));
        let touched = app.peek(&sid).last_activity;
        let stored = app.stored(&sid).expect("a row").last_activity;
        assert!(Some(stored) < touched, "the activity is in memory only");

        admin.run(UPDATE);
        assert_eq!(app.peek(&sid).last_activity, touched);
        let flushed: i64 = admin.value("SELECT session_timeout.flush_sessions()", &[]);
        assert_eq!(flushed, 1);
        assert_eq!(app.stored(&sid).map(|row| row.last_activity), touched);
    });
}

#[test]
fn a_check_in_a_transaction_from_before_an_update_sees_the_same_sessions() {
    for_each_live_release(|database| {
        let (mut admin, mut app) = (database.connect(), database.connect());
        let (open, closed) = (new_sid(), new_sid());
        app.open(&open);
        app.open(&closed);
        app.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert!(app.check(&open) && app.check(&closed));
        admin.run(UPDATE);
        admin.close_sid(&closed);
        assert!(app.check(&open));
        assert!(!app.check(&closed));
        app.run("COMMIT");
    });
}

#[test]
fn the_worker_goes_on_over_an_update() {
    for_each_live_release(|database| {
        let (mut admin, mut app, sid) = (database.connect(), database.connect(), new_sid());
        app.open(&sid);
        assert!(app.check(&sid));
        admin.run(UPDATE);
        app.has_been_idle(&sid, "3 hours");
        assert!(!app.check(&sid));
        eventually("the worker ends the session", SOON, || {
            app.event_kinds(&sid) == ["idle_expired"]
        });
    });
}

#[test]
fn an_update_that_is_rolled_back_leaves_the_release_as_it_was() {
    for_each_live_release(|database| {
        let mut client = database.connect();
        let version = version_in(&mut client);
        client.run(&format!("BEGIN; {UPDATE}; ROLLBACK"));
        assert_eq!(version_in(&mut client), version);
        use_it(&mut client);
    });
}
