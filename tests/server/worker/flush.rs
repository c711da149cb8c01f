//! Activity is written to the rows.

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{SessionCalls, new_sid, wait_until_flushed};

#[test]
fn activity_is_written_without_a_primary_key() {
    let database = preloaded::database("flush_no_key", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
}

#[test]
fn flush_sessions_writes_activity_down_and_says_how_many() {
    let database = preloaded::database("flush_by_hand", &QUIET);
    let mut client = database.connect();
    let (sid, idle) = (new_sid(), new_sid());
    client.open(&sid);
    client.open(&idle);
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 1);
    assert_eq!(client.stored(&sid).expect("a row").last_activity, touched);
    assert_eq!(client.value::<i64>("SELECT session_timeout.flush_sessions()", &[]), 0);
}
