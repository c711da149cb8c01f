//! Clean restarts: no activity is lost at all, and no session validates that should not.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, Shutdown, eventually, param};

use super::cluster::{
    Book, Life, Load, assert_kept, assert_no_process_broke, assert_settles, check_many, connect_again, open_many,
    processes, signal, size, written_until,
};
use super::support::{is_resting, preloaded};
use crate::in_flight::SOON;
use crate::support::SessionCalls;

/// Restarts under load: all that was acknowledged is there, but for the activity since the last flush where it is no clean
/// restart.
fn restart_under_load(rounds: usize, how: Shutdown) {
    let is_clean = how != Shutdown::Immediate;
    let server = preloaded().start();
    let database = server.database("restart");
    // A flush that comes by would hide what a restart loses.
    database.set_params(&[(param::FLUSH_INTERVAL, if is_clean { "60" } else { "1" })]);
    database.set_params(&[(param::PURGE_INTERVAL, if is_clean { "1 hour" } else { "1" })]);
    let mut book = Book::default();
    for round in 0..rounds {
        let closed = book.count(Life::Closed);
        let load = Load::start(&database.config(), &format!("load-{round}"), 4, book);
        load.until("the load has closed sessions", |book| {
            book.count(Life::Closed) > closed + 50
        });
        let written = (!is_clean).then(|| written_until(&mut database.connect()));
        if how == Shutdown::Smart {
            // It waits for the connections, which go on as long as they like.
            book = thread::scope(|scope| {
                scope.spawn(|| server.stop(how));
                load.end(true)
            });
            server.start();
        } else {
            server.restart(how);
            book = load.end(false);
        }
        let mut client = connect_again(&database.config());
        assert_kept(&mut client, &mut book, written.unwrap_or_else(Utc::now));
    }
    database.set_params(&[(param::PURGE_INTERVAL, "1")]);
    assert_settles(&mut connect_again(&database.config()), &book);
    assert_no_process_broke(&server);
}

#[test]
fn a_fast_restart_under_load_loses_no_activity() {
    restart_under_load(size(3, 20), Shutdown::Fast);
}

#[test]
fn a_smart_restart_under_load_loses_no_activity() {
    restart_under_load(size(1, 5), Shutdown::Smart);
}

#[test]
fn an_immediate_restart_under_load_loses_a_flush_interval_at_most() {
    restart_under_load(size(1, 10), Shutdown::Immediate);
}

#[test]
fn a_session_that_was_found_expired_stays_so_over_a_restart_though_the_delay_is_raised() {
    let server = preloaded().start();
    let database = server.database("expired");
    database.set_params(&[(param::PURGE_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    for n in 0..5 {
        client.open(&format!("sid-{n}"));
        client.has_been_idle(&format!("sid-{n}"), "3 hours");
        // A row that others hold is left by the worker: the mark is all there is.
        let mut holder = database.connect();
        holder.run("BEGIN; SELECT 1 FROM session_timeout.session FOR UPDATE");
        assert!(!client.check(&format!("sid-{n}")));
        drop(client);
        server.stop(Shutdown::Fast);
        server.start();
        client = connect_again(&database.config());
        client.set_param(param::DELAY, Some("1 day"));
        assert!(!client.check(&format!("sid-{n}")), "expired, then valid");
        client.set_param(param::DELAY, Some("7200"));
        eventually("its row goes", SOON, || client.stored(&format!("sid-{n}")).is_none());
        assert_eq!(client.event_kinds(&format!("sid-{n}")), ["idle_expired"]);
    }
}

#[test]
fn a_clean_restart_keeps_the_activity_of_every_database() {
    let server = preloaded().start();
    let databases = [server.database("one"), server.database("two"), server.database("three")];
    for database in &databases {
        let mut client = database.connect();
        open_many(&mut client, "sid", 1000);
    }
    let begun = Utc::now();
    for database in &databases {
        assert_eq!(check_many(&mut database.connect(), "sid", 1000), 1000);
    }
    server.restart(Shutdown::Fast);
    for database in &databases {
        let mut client = database.connect();
        assert!(oldest(&mut client) >= begun, "activity was lost");
        // It is not only remembered: it is written down.
        client.set_param(param::FLUSH_INTERVAL, Some("1"));
        eventually("it is written down", SOON, || {
            client.value::<DateTime<Utc>>("SELECT min(last_activity) FROM session_timeout.session", &[]) >= begun
        });
    }
    let left = snapshots(&server);
    assert!(left.is_empty(), "the file is removed once read: {left:?}");
}

/// The postmaster that has begun anew after a crash of one of its processes still leaves at its end what it should.
#[test]
fn a_clean_restart_after_a_crashed_backend_loses_no_activity() {
    let server = preloaded().start();
    let database = server.database("crashed");
    let mut client = database.connect();
    open_many(&mut client, "sid", 100);
    let pid: i32 = client.value("SELECT pg_backend_pid()", &[]);
    let mut another = database.connect();
    assert!(signal(pid, "KILL"));
    // The postmaster ends that one, too. Until it has noticed, it goes on taking connections.
    eventually("all connections end", SOON, || another.batch_execute("SELECT").is_err());
    let mut client = connect_again(&database.config());
    let begun = Utc::now();
    assert_eq!(check_many(&mut client, "sid", 100), 100);
    drop(client);
    server.restart(Shutdown::Fast);
    assert!(oldest(&mut database.connect()) >= begun, "activity was lost");
}

/// Sessions whose activity is in memory only, a server that was stopped cleanly, and the file it left.
struct Stopped {
    server: Server,
    name: String,
    begun: DateTime<Utc>,
}

impl Stopped {
    fn new() -> Self {
        let server = preloaded().start();
        let database = server.database("snapshot");
        let name = database.name().to_owned();
        let mut client = database.connect();
        // It flushes. A worker that is stopped between its commit and what it tells the registry leaves both written.
        eventually("the worker's first pass", SOON, || is_resting(&database));
        open_many(&mut client, "sid", 500);
        // Open, so that the server has something to keep; and one closed, which is not to come back.
        assert!(client.check("sid-1") && client.close_sid("sid-1"));
        let begun = Utc::now();
        assert_eq!(check_many(&mut client, "sid", 500), 499);
        drop(client);
        server.stop(Shutdown::Fast);
        // The database goes with its server.
        drop(database);
        Self { server, name, begun }
    }

    fn file(&self) -> PathBuf {
        let found = snapshots(&self.server);
        assert_eq!(found.len(), 1, "the file of a clean shutdown: {found:?}");
        found.into_iter().next().expect("one")
    }

    /// Starts the server with the file as it then is: it is said to be of no use, and everything else works.
    fn assert_ignored(self, what: &str) {
        let before = self.server.log().len();
        self.server.start();
        let mut client = connect_again(&self.server.config(&self.name));
        let log = self.server.log();
        let said = log[before..]
            .lines()
            .any(|line| line.contains("session") && line.contains("ignored"));
        assert!(said, "{what}: nothing is said of it:\n{}", &log[before..]);
        assert!(oldest(&mut client) < self.begun, "{what}: it was used");
        assert!(!client.check("sid-1"), "{what}: a closed session is back");
        assert!(client.check("sid-2"), "{what}: an open session is lost");
        assert!(snapshots(&self.server).is_empty(), "{what}: it is still there");
        eventually("the launcher runs", SOON, || {
            processes(&mut client, "session_timeout launcher").len() == 1
        });
        assert_no_process_broke(&self.server);
    }
}

#[test]
fn a_snapshot_that_is_whole_is_read_once_and_removed() {
    let stopped = Stopped::new();
    let file = stopped.file();
    let bytes = fs::read(&file).expect("the file");
    for sid in ["sid-2", "sid-499"] {
        assert!(
            !bytes.windows(sid.len()).any(|window| window == sid.as_bytes()),
            "a sid in the file"
        );
    }
    stopped.server.start();
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(oldest(&mut client) >= stopped.begun, "activity was lost");
    assert!(!client.check("sid-1"));
    assert!(snapshots(&stopped.server).is_empty());
    drop(client);
    // Put back, it is of another shutdown.
    stopped.server.stop(Shutdown::Fast);
    write(&stopped.server, &file, &bytes);
    Stopped {
        begun: Utc::now(),
        ..stopped
    }
    .assert_ignored("stale");
}

#[test]
fn a_damaged_snapshot_is_reported_and_ignored() {
    for place in [0, 1, 2] {
        let stopped = Stopped::new();
        let file = stopped.file();
        let mut bytes = fs::read(&file).expect("the file");
        let at = [0, bytes.len() / 2, bytes.len() - 1][place];
        bytes[at] ^= 0x10;
        write(&stopped.server, &file, &bytes);
        stopped.assert_ignored("a bit is wrong");
    }
}

#[test]
fn a_truncated_snapshot_is_reported_and_ignored() {
    for keep in [0, 1, 2] {
        let stopped = Stopped::new();
        let file = stopped.file();
        let bytes = fs::read(&file).expect("the file");
        let end = [0, bytes.len() / 2, bytes.len() - 1][keep];
        write(&stopped.server, &file, &bytes[..end]);
        stopped.assert_ignored("cut off");
    }
}

#[test]
fn a_foreign_snapshot_is_reported_and_ignored() {
    let (other, stopped) = (Stopped::new(), Stopped::new());
    let bytes = fs::read(other.file()).expect("the file");
    write(&stopped.server, &stopped.file(), &bytes);
    stopped.assert_ignored("another server's");
}

#[test]
fn a_snapshot_from_before_a_crash_is_ignored() {
    let stopped = Stopped::new();
    let file = stopped.file();
    let bytes = fs::read(&file).expect("the file");
    stopped.server.start();
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(client.close_sid("sid-3"));
    drop(client);
    stopped.server.kill();
    write(&stopped.server, &file, &bytes);
    Stopped {
        begun: Utc::now(),
        ..stopped
    }
    .assert_ignored("from before a crash");
}

/// After an immediate shutdown there is no file that could be taken for good.
#[test]
fn an_immediate_shutdown_leaves_no_snapshot() {
    let server = preloaded().start();
    let database = server.database("immediate");
    let mut client = database.connect();
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    server.stop(Shutdown::Immediate);
    assert!(snapshots(&server).is_empty());
    server.start();
    assert_eq!(check_many(&mut database.connect(), "sid", 10), 10);
}

/// Files of ours in the data directory.
fn snapshots(server: &Server) -> Vec<PathBuf> {
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
fn write(server: &Server, path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::{MetadataExt, chown};
    fs::write(path, bytes).expect("the file is written");
    let owner = fs::metadata(server.data_directory()).expect("the data directory");
    chown(path, Some(owner.uid()), Some(owner.gid())).expect("chown");
}

fn oldest(client: &mut Client) -> DateTime<Utc> {
    client.value(
        "SELECT min(p.last_activity) FROM generate_series(2, (SELECT count(*) FROM session_timeout.session)) AS n, \
         session_timeout.peek_session('sid-' || n) AS p",
        &[],
    )
}
