//! A pass as a whole: what happens if a step fails, and which step is due when.

use session_timeout_tests::{eventually, param};

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SOON, SessionCalls, check_many, new_sid, open_expired, open_many, wait_until_flushed, wait_until_gone,
    worker_figure,
};

/// What cannot be told of is not deleted. Everything else goes on.
#[test]
fn a_failing_step_keeps_no_other_step_from_its_turn() {
    let database = preloaded::database("steps", &QUICK);
    let mut client = database.connect();
    // A second event of a user is refused.
    client.run("CREATE UNIQUE INDEX another ON session_timeout.session_event (user_name)");
    let (closed, expired) = (new_sid(), new_sid());
    for sid in [&closed, &expired] {
        client.write("SELECT session_timeout.open_session($1, 'user')", &[sid]);
    }
    client.close_sid(&closed);
    client.has_been_idle(&expired, "3 hours");
    assert!(!client.check(&expired));
    // From its row alone nobody would say so any more: the purge passes it by.
    client.set_param(param::DELAY, Some("1 day"));
    eventually("a failure", SOON, || worker_figure(&mut client, "failures") >= 1);
    let (active, forgotten) = (new_sid(), new_sid());
    for sid in [&active, &forgotten] {
        client.open(sid);
    }
    client.has_been_idle(&forgotten, "2 days");
    let touched = client.verdict(&active).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &active, touched);
    wait_until_gone(&mut client, &forgotten);
    assert!(client.stored(&expired).is_some());
    client.run("DROP INDEX session_timeout.another");
    wait_until_gone(&mut client, &expired);
}

#[test]
fn a_shorter_nap_shortens_the_intervals_at_once() {
    let server = preloaded::builder().setting("session_timeout.naptime", "3600").start();
    let database = preloaded::database_on(&server, "nap", &QUICK);
    let mut client = database.connect();
    // Neither the flush nor the purge is due before an hour has passed.
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    open_expired(&mut client, "forgotten");
    server.set("session_timeout.naptime", "1");
    server.reload();
    wait_until_gone(&mut client, "forgotten");
    eventually("activity is written", SOON, || {
        worker_figure(&mut client, "flushed") >= 10
    });
}

#[test]
fn settings_of_a_database_do_not_affect_its_worker() {
    let nobody = preloaded::server().role("nobody", "NOLOGIN");
    let database = preloaded::database("settings", &QUICK);
    let mut client = database.connect();
    let name = database.name();
    for setting in [
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "session_replication_role = replica",
        "search_path = nowhere",
        "statement_timeout = 1",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 1",
        &format!("role = {}", nobody.name()),
    ] {
        client.run(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    if client.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) >= 170_000 {
        client.run(&format!("ALTER DATABASE {name} SET transaction_timeout = 1"));
    }
    // More than is written in a millisecond.
    open_many(&mut client, "many", 5000);
    assert_eq!(check_many(&mut client, "many", 5000), 5000);
    let expired = new_sid();
    open_expired(&mut client, &expired);
    assert!(!client.check(&expired));
    let forgotten = new_sid();
    open_expired(&mut client, &forgotten);
    for sid in [&expired, &forgotten] {
        wait_until_gone(&mut client, sid);
        assert_eq!(client.event_kinds(sid), ["idle_expired"]);
    }
    eventually("all activity is written", SOON, || {
        worker_figure(&mut client, "flushed") == 5000
    });
    assert_eq!(worker_figure(&mut client, "failures"), 0);
}

#[test]
fn a_shorter_purge_interval_counts_from_its_commit_on() {
    let database = preloaded::database("purge_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open_limited(&sid, Some("100 ms"), None);
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    wait_until_gone(&mut client, &sid);
}

#[test]
fn a_shorter_flush_interval_counts_from_its_commit_on() {
    let database = preloaded::database("flush_interval", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    database.set_params(&[(param::FLUSH_INTERVAL, "1")]);
    wait_until_flushed(&mut client, &sid, touched);
}
