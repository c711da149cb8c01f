//! What was written to the write-ahead log between two places in it.

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, run};

/// A place in the log.
pub type Lsn = String;

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written {
    /// Bytes of records, images of full pages apart.
    pub record_bytes: u64,
    /// Bytes of images of full pages.
    pub image_bytes: u64,
}

/// Where the log ends now.
pub fn here(client: &mut Client) -> Lsn {
    client
        .query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
        .expect("the end of the log")
        .get(0)
}

/// What was written from one place to another, both reached.
pub fn between(server: &Server, client: &mut Client, from: &Lsn, to: &Lsn) -> Written {
    if from == to {
        return Written::default();
    }
    // So that pg_waldump finds all of it in the files.
    client
        .batch_execute("CREATE TABLE wal_end (); DROP TABLE wal_end")
        .expect("the log is written");
    let mut waldump = server.command_as_server("pg_waldump");
    waldump
        .arg("--stats")
        .arg("--path")
        .arg(server.data_directory().join("pg_wal"));
    let output = run(waldump.args(["--start", from, "--end", to]));
    let total = output
        .lines()
        .find(|line| line.starts_with("Total"))
        .unwrap_or_else(|| panic!("pg_waldump says: {output}"));
    // Total, records, [share], bytes of records, [share], bytes of images, [share], …
    let numbers: Vec<u64> = total.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    Written {
        record_bytes: numbers[1],
        image_bytes: numbers[2],
    }
}
