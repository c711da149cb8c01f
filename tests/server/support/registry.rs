//! The registry's figures, and a registry that is full.

use session_timeout_tests::postgres::Client;

use super::calls::SessionCalls;
use super::databases::new_sid;

/// A figure of `stat_session_timeout`.
#[track_caller]
pub fn figure(client: &mut Client, name: &str) -> i64 {
    client.value(&format!("SELECT {name} FROM session_timeout.stat_session_timeout"), &[])
}

/// Opens so many sessions in one transaction: their ids.
pub fn open_sessions(client: &mut Client, count: usize) -> Vec<String> {
    let sids: Vec<String> = (0..count).map(|_| new_sid()).collect();
    client.run("BEGIN");
    for sid in &sids {
        client.open_as(sid, "many");
    }
    client.run("COMMIT");
    sids
}

/// A registry in which nothing can be evicted, as the table is locked against the worker. Answers the lock's holder.
pub fn clogged(client: &mut Client, mut holder: Client) -> Client {
    let sids = open_sessions(client, 400);
    holder.run("BEGIN; LOCK TABLE session_timeout.session IN SHARE MODE");
    let before = figure(client, "registry_full");
    for sid in &sids {
        assert!(client.check(sid));
    }
    assert!(figure(client, "registry_full") > before);
    holder
}
