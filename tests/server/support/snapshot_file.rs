//! A server that was stopped, and the file in which it left what its registry held.

use std::fs;
use std::path::{Path, PathBuf};

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, Shutdown, eventually, param};

use super::{
    SOON, SessionCalls, assert_no_process_broke, check_many, connect_again, is_resting, open_many, preloaded, processes,
};

/// As many as are open in a [`Stopped`] server.
const SESSIONS: usize = 500;

/// Sessions whose activity is in memory only, one that was found expired under a delay that has been raised since, a server
/// that was stopped cleanly, and the file it left.
pub struct Stopped {
    pub server: Server,
    pub name: String,
    pub begun: DateTime<Utc>,
}

impl Stopped {
    /// Opens and uses the sessions, and stops the server.
    pub fn new() -> Self {
        let server = preloaded::builder().start();
        let database = server.database("snapshot");
        let name = database.name().to_owned();
        let mut client = database.connect();
        // It flushes. A worker that is stopped between its commit and what it tells the registry leaves both written.
        eventually("the worker's first pass", SOON, || is_resting(&database));
        database.set_params(&[(param::FLUSH_INTERVAL, "1 hour"), (param::PURGE_INTERVAL, "1 hour")]);
        open_many(&mut client, "sid", SESSIONS);
        // Its row is locked, so that the worker leaves it.
        client.open("expired");
        client.has_been_idle("expired", "3 hours");
        let mut holder = database.connect();
        holder.run(
            "BEGIN; SELECT 1 FROM session_timeout.session WHERE last_activity < now() - interval '2 hours' FOR UPDATE",
        );
        assert!(!client.check("expired"));
        client.set_param(param::DELAY, Some("1 day"));
        // Open, so that the server has something to keep; and one closed, which is not to come back.
        assert!(client.check("sid-1") && client.close_sid("sid-1"));
        let begun = Utc::now();
        assert_eq!(check_many(&mut client, "sid", SESSIONS), SESSIONS as i64 - 1);
        drop(client);
        server.stop(Shutdown::Fast);
        // The database goes with its server.
        drop(database);
        Self { server, name, begun }
    }

    /// The file.
    pub fn file(&self) -> PathBuf {
        let found = snapshot_files(&self.server);
        assert_eq!(found.len(), 1, "the file of a clean shutdown: {found:?}");
        found.into_iter().next().expect("one")
    }

    /// Starts the server: what was saved is there, activity and expiry, and no session that was closed.
    pub fn assert_kept(&self, what: &str) {
        self.server.start();
        self.assert_in_use(what);
    }

    /// The server, which runs, has what was saved, and has no further use for the file.
    pub fn assert_in_use(&self, what: &str) {
        let mut client = connect_again(&self.server.config(&self.name));
        assert!(oldest_activity(&mut client) >= self.begun, "{what}: activity was lost");
        assert!(!client.check("sid-1"), "{what}: a closed session is back");
        assert!(client.check("sid-2"), "{what}: an open session is lost");
        assert!(!client.check("expired"), "{what}: expired, then valid");
        self.assert_consumed(what);
    }

    /// Waits until the server has removed the file.
    pub fn assert_consumed(&self, what: &str) {
        eventually(&format!("{what}: the file is removed"), SOON, || {
            snapshot_files(&self.server).is_empty()
        });
    }

    /// Starts the server with the file as it then is: it is said to be of no use, and everything else works.
    pub fn assert_ignored(self, what: &str) {
        let before = self.server.log().len();
        self.server.start();
        let mut client = connect_again(&self.server.config(&self.name));
        let log = self.server.log();
        let said = log[before..]
            .lines()
            .any(|line| line.contains("session") && line.contains("ignored"));
        assert!(said, "{what}: nothing is said of it:\n{}", &log[before..]);
        assert!(oldest_activity(&mut client) < self.begun, "{what}: it was used");
        assert!(!client.check("sid-1"), "{what}: a closed session is back");
        assert!(client.check("sid-2"), "{what}: an open session is lost");
        self.assert_consumed(what);
        eventually("the launcher runs", SOON, || {
            processes(&mut client, "session_timeout launcher").len() == 1
        });
        assert_no_process_broke(&self.server);
    }
}

/// Files of ours in the data directory.
pub fn snapshot_files(server: &Server) -> Vec<PathBuf> {
    fn search(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                search(&entry.path(), found);
            } else if entry.file_name().to_string_lossy().contains("session_timeout") {
                found.push(entry.path());
            }
        }
    }
    let mut found = Vec::new();
    search(&server.data_directory(), &mut found);
    found
}

/// Writes a file that the server can read.
pub fn write_file(server: &Server, path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::{MetadataExt, chown};
    fs::write(path, bytes).expect("the file is written");
    let owner = fs::metadata(server.data_directory()).expect("the data directory");
    chown(path, Some(owner.uid()), Some(owner.gid())).expect("chown");
}

/// The oldest activity of the sessions `sid-2` and up.
pub fn oldest_activity(client: &mut Client) -> DateTime<Utc> {
    client.value(
        "SELECT min(p.last_activity) FROM generate_series(2, (SELECT count(*) FROM session_timeout.session)) AS n, \
         session_timeout.peek_session('sid-' || n) AS p",
        &[],
    )
}
