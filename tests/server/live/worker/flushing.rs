//! Activity is written down.

use crate::support::preloaded::{self, QUICK};
use crate::support::{SessionCalls, new_sid, wait_until_flushed};

#[test]
fn activity_is_written_where_somebody_has_taken_the_primary_key_away() {
    let database = preloaded::database("flush_no_key", &QUICK);
    let mut client = database.connect();
    let sid = new_sid();
    client.open(&sid);
    client.run("ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey");
    let touched = client.verdict(&sid).last_activity.expect("an activity");
    wait_until_flushed(&mut client, &sid, touched);
}
