//! What a connection hears beside its answers: warnings, and the extension's notices.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_timeout_tests::postgres::error::DbError;
use session_timeout_tests::postgres::{Client, NoTls};
use session_timeout_tests::serde_json::{self, Value};
use session_timeout_tests::{Database, next_notification};

use super::calls::SessionCalls;
use super::databases::unique;

/// A connection, and what the server says beside its answers: warnings and the like.
#[track_caller]
pub fn connect_hearing(database: &Database) -> (Client, Arc<Mutex<Vec<DbError>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&heard);
    let mut config = database.config();
    config.notice_callback(move |notice| hear.lock().expect("unpoisoned").push(notice));
    (config.connect(NoTls).expect("a connection"), heard)
}

/// Connects to `database` and LISTENs for the extension's notices.
pub fn listener(database: &Database) -> Client {
    let mut client = database.connect();
    client.run("LISTEN session_timeout");
    client
}

/// The payloads of all notices sent by transactions that have committed until now, in order.
pub fn heard(listener: &mut Client, database: &Database) -> Vec<String> {
    let last = unique("the last one");
    let mut payloads = Vec::new();
    database.execute(&format!("NOTIFY session_timeout, '{last}'"));
    loop {
        let notice = next_notification(listener, Duration::from_secs(30)).expect("a notice");
        match notice.payload() {
            payload if payload == last => return payloads,
            payload => payloads.push(payload.to_owned()),
        }
    }
}

/// What was [`heard`], parsed.
pub fn heard_json(listener: &mut Client, database: &Database) -> Vec<Value> {
    let parse = |payload: &String| serde_json::from_str(payload).expect("a notice is JSON");
    heard(listener, database).iter().map(parse).collect()
}
