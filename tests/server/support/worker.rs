//! What the worker of a database has done: passes, figures, and rows that it has written or deleted.

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually, wait_for};

use super::calls::SessionCalls;
use super::in_flight::SOON;

/// Whether the database's worker has made a pass, and none is at it.
#[track_caller]
pub fn is_resting(database: &Database) -> bool {
    let sql = "SELECT count(*) FROM session_timeout.stat_worker \
               WHERE datname = current_database() AND next_purge IS NOT NULL AND pid IS NULL";
    let resting: i64 = database.connect().value(sql, &[]);
    resting == 1
}

/// A figure of this database's line in `stat_worker`.
#[track_caller]
pub fn worker_figure(client: &mut Client, name: &str) -> i64 {
    let sql = format!("SELECT {name} FROM session_timeout.stat_worker WHERE datname = current_database()");
    client.value(&sql, &[])
}

/// When the last pass over this database ended.
#[track_caller]
pub fn last_pass(client: &mut Client) -> DateTime<Utc> {
    let sql = "SELECT last_pass FROM session_timeout.stat_worker WHERE datname = current_database()";
    client.value(sql, &[])
}

/// Waits until a pass has begun and ended that had not begun before this call: one of a purge, if nothing else is due.
#[track_caller]
pub fn wait_for_passes(client: &mut Client, passes: u32) {
    for _ in 0..passes {
        // A page that was written to must be read, whatever became of the transaction.
        client.run("BEGIN");
        client.open("never open");
        client.run("ROLLBACK");
        let before = last_pass(client);
        eventually("another pass", SOON, || last_pass(client) > before);
    }
}

/// Waits until a purge has found that nothing can be due for long.
#[track_caller]
pub fn wait_until_nothing_is_due(client: &mut Client) {
    let sql = "SELECT EXISTS (SELECT FROM session_timeout.stat_worker \
               WHERE datname = current_database() AND next_purge > clock_timestamp() + interval '50 minutes')";
    eventually("no purge is due for long", SOON, || client.value(sql, &[]));
}

/// Waits until the session's row is gone.
#[track_caller]
pub fn wait_until_gone(client: &mut Client, sid: &str) {
    eventually("the session's row is deleted", SOON, || client.stored(sid).is_none());
}

/// Waits until the session's row has at least this activity.
#[track_caller]
pub fn wait_until_flushed(client: &mut Client, sid: &str, activity: DateTime<Utc>) {
    wait_for("the session's activity is written to its row", SOON, || {
        let row = client.stored(sid).expect("the session has a row");
        (row.last_activity >= activity).then_some(())
    });
}

/// Transactions of each database so far: those of workers, as nothing else comes there.
pub fn transactions(observer: &mut Client, pattern: &str) -> Vec<(String, i64)> {
    let sql = "SELECT datname::text, xact_commit + xact_rollback FROM pg_stat_database WHERE datname ~ $1 ORDER BY 1";
    let rows = observer.query(sql, &[&pattern]).expect("pg_stat_database");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
