//! The SQL interface: the objects of the extension, their types and properties.

mod extension;
mod functions;
mod relations;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::postgres::types::ToSql;

/// The text values in the first column of what a query answers.
#[track_caller]
fn texts(client: &mut Client, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Vec<String> {
    match client.query(sql, params) {
        Ok(rows) => rows.iter().map(|row| row.get(0)).collect(),
        Err(error) => panic!("{sql}: {error:?}"),
    }
}
