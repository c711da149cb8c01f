//! Between passes no process of the extension holds a snapshot or a database.

use session_timeout_tests::eventually;

use crate::support::preloaded::{self, QUIET};
use crate::support::{SOON, SessionCalls, new_sid, open_expired, wait_until_gone};

#[test]
fn no_background_process_holds_a_snapshot_or_a_database_while_idle() {
    let database = preloaded::database("idle", &QUIET);
    let mut client = database.connect();
    let sid = new_sid();
    open_expired(&mut client, &sid);
    assert!(!client.check(&sid));
    wait_until_gone(&mut client, &sid);
    eventually("the worker is gone", SOON, || {
        let sql = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        client.value::<i64>(sql, &[]) == 0
    });
    let sql = "SELECT count(*), count(datname), count(backend_xmin), count(backend_xid), count(xact_start) \
               FROM pg_stat_activity WHERE backend_type = 'session_timeout launcher'";
    eventually("the launcher holds nothing", SOON, || {
        let row = client.query_one(sql, &[]).expect("the launcher's line");
        let figures: [i64; 5] = std::array::from_fn(|n| row.get(n));
        figures == [1, 0, 0, 0, 0]
    });
}
