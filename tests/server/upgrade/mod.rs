//! Databases that were made by an earlier version: its SQL works with this library, and can be updated to the newest.

mod objects;
mod pg_upgrade;
mod released;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, shared};

/// The version under development, which a plain CREATE EXTENSION makes.
fn newest() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The versions before it that the scripts can make.
#[track_caller]
fn released() -> Vec<String> {
    let sql = "SELECT version FROM pg_available_extension_versions \
               WHERE name = 'inactive_session_timeout' AND version <> $1";
    let versions = shared().connect().query(sql, &[&newest()]).expect("the versions");
    assert!(!versions.is_empty(), "a release is there");
    versions.iter().map(|row| row.get(0)).collect()
}

/// A database with the extension as `version` made it.
#[track_caller]
fn database_of<'s>(server: &'s Server, version: &str) -> Database<'s> {
    let database = server.database_builder("released").without_extension().create();
    database.execute(&format!(
        "CREATE EXTENSION inactive_session_timeout VERSION '{version}'"
    ));
    database
}

/// The version that the database's objects are of.
#[track_caller]
fn version_in(client: &mut Client) -> String {
    let sql = "SELECT extversion FROM pg_extension WHERE extname = 'inactive_session_timeout'";
    client.query_one(sql, &[]).expect("the extension").get(0)
}
