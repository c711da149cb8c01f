//! Activity outlives the rollback of the transaction that checked.

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SessionCalls, new_sid, wait_until_flushed};

#[test]
fn activity_outlives_the_rollback_of_its_transaction() {
    let database = preloaded::database("touch_rollback", &QUIET);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sid = new_sid();
    client.open(&sid);
    let opened = other.peek(&sid).last_activity;
    client.run("BEGIN");
    let touched = client.verdict(&sid).last_activity;
    client.run("ROLLBACK");
    assert!(touched > opened);
    assert_eq!(other.peek(&sid).last_activity, touched);
}

#[test]
fn activity_outlives_the_rollback_and_reaches_the_row() {
    let database = preloaded::database("touch_rollback_flush", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("BEGIN");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    client.run("ROLLBACK");
    wait_until_flushed(&mut client, &sid, touched);
}
