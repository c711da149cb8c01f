//! Clean restarts: no activity is lost at all, and no session validates that should not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, Shutdown, eventually, param};

use super::cluster::{
    Book, Life, Load, assert_kept, assert_no_process_broke, assert_settles, check_many, connect_again, open_many,
    processes, signal, size, written_until,
};
use super::support::{QUIET, clogged, database_of, is_resting, open_expired, preloaded, wait_until_gone};
use crate::in_flight::SOON;
use crate::support::{SessionCalls, new_sid};

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

/// Twenty sessions are found expired that the registry has no room to say so of, as all of it is dirty and the table is locked.
#[test]
fn expiries_that_found_no_room_are_final_over_a_restart() {
    let server = preloaded().setting("session_timeout.max_sessions", "100").start();
    let database = database_of(&server, "roomless_restart", &QUIET);
    let mut client = database.connect();
    let expired: Vec<String> = (0..20).map(|_| new_sid()).collect();
    for sid in &expired {
        open_expired(&mut client, sid);
    }
    let _holder = clogged(&mut client, database.connect());
    for sid in &expired {
        assert!(!client.check(sid));
    }
    client.set_param(param::DELAY, Some("1 day"));
    server.stop(Shutdown::Fast);
    server.start();
    let mut client = connect_again(&database.config());
    for sid in &expired {
        assert!(!client.check(sid));
    }
    for sid in &expired {
        wait_until_gone(&mut client, sid);
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
    assert!(left.is_empty(), "the file is removed once the server serves: {left:?}");
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

/// As many as are open in a [`Stopped`] server.
const SESSIONS: usize = 500;

/// Sessions whose activity is in memory only, one that was found expired under a delay that has been raised since, a server
/// that was stopped cleanly, and the file it left.
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
        database.set_params(&[(param::FLUSH_INTERVAL, "1 hour"), (param::PURGE_INTERVAL, "1 hour")]);
        open_many(&mut client, "sid", SESSIONS);
        // Its row is not free, so that the worker leaves it.
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

    fn file(&self) -> PathBuf {
        let found = snapshots(&self.server);
        assert_eq!(found.len(), 1, "the file of a clean shutdown: {found:?}");
        found.into_iter().next().expect("one")
    }

    /// Starts the server: what was saved is there, activity and expiry, and no session that was closed.
    fn assert_kept(&self, what: &str) {
        self.server.start();
        self.assert_in_use(what);
    }

    /// The server, which runs, has what was saved, and has no further use for the file.
    fn assert_in_use(&self, what: &str) {
        let mut client = connect_again(&self.server.config(&self.name));
        assert!(oldest(&mut client) >= self.begun, "{what}: activity was lost");
        assert!(!client.check("sid-1"), "{what}: a closed session is back");
        assert!(client.check("sid-2"), "{what}: an open session is lost");
        assert!(!client.check("expired"), "{what}: expired, then valid");
        self.assert_consumed(what);
    }

    fn assert_consumed(&self, what: &str) {
        eventually(&format!("{what}: the file is removed"), SOON, || {
            snapshots(&self.server).is_empty()
        });
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
        self.assert_consumed(what);
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
    stopped.assert_kept("as it was left");
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

/// It could not be removed, say. What it knows is of logins that were there, and is true of them still.
#[test]
fn a_snapshot_that_is_read_again_after_a_crash_brings_no_session_back() {
    let stopped = Stopped::new();
    let file = stopped.file();
    let bytes = fs::read(&file).expect("the file");
    stopped.assert_kept("as it was left");
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(client.close_sid("sid-3") && client.close_sid("sid-4"));
    // Opened again, it is another session, though of the same id.
    client.open_limited("expired", None, None);
    client.open_limited("sid-4", None, None);
    client.has_been_idle("sid-4", "2 days");
    drop(client);
    stopped.server.kill();
    write(&stopped.server, &file, &bytes);
    stopped.server.start();
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(
        !client.check("sid-1") && !client.check("sid-3"),
        "a closed session is back"
    );
    assert!(!client.check("sid-4"), "the activity of another login keeps it alive");
    assert!(client.check("expired"), "the expiry of another login ends it");
    assert!(client.peek("sid-2").last_activity >= Some(stopped.begun));
    stopped.assert_consumed("after a crash");
    assert_no_process_broke(&stopped.server);
}

#[test]
fn a_snapshot_from_before_a_later_checkpoint_is_ignored() {
    let stopped = Stopped::new();
    let file = stopped.file();
    let bytes = fs::read(&file).expect("the file");
    stopped.server.start();
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(client.close_sid("sid-3"));
    client.run("CHECKPOINT");
    drop(client);
    stopped.server.kill();
    write(&stopped.server, &file, &bytes);
    Stopped {
        begun: Utc::now(),
        ..stopped
    }
    .assert_ignored("from before a checkpoint");
}

/// All of these fail after the postmaster has read the file.
#[test]
fn a_start_that_fails_keeps_what_was_saved() {
    let stopped = Stopped::new();
    let (file, server) = (stopped.file(), &stopped.server);
    let bytes = fs::read(&file).expect("the file");
    let fails = |what: &str, options: &[&str]| {
        let log = server.fail_to_start(options);
        assert!(
            log.contains("restored the activity of"),
            "{what}: it failed before:\n{log}"
        );
        assert!(
            fs::read(&file).is_ok_and(|now| now == bytes),
            "{what}: the file has changed"
        );
    };

    let hba = server.data_directory().join("pg_hba.conf");
    let good = fs::read(&hba).expect("pg_hba.conf");
    write(server, &hba, b"host all all nonsense\n");
    fails("pg_hba.conf", &[]);
    write(server, &hba, &good);

    fails(
        "no directory for the socket",
        &["-c", "unix_socket_directories=/nonexistent"],
    );
    let other = preloaded().start();
    let directory = format!("unix_socket_directories={}", other.directory().display());
    fails("another server's socket", &["-c", &directory]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port().to_string();
    fails("a port in use", &["-c", "listen_addresses=127.0.0.1", "-p", &port]);

    // The startup process ends the server.
    let wal = server.data_directory().join("pg_wal");
    let away = server.data_directory().join("pg_wal.away");
    fs::rename(&wal, &away).expect("the WAL is taken away");
    fails("no WAL", &[]);
    fs::rename(&away, &wal).expect("the WAL is put back");

    stopped.assert_kept("after failed starts");
}

/// At any time before the launcher runs.
#[test]
fn a_start_that_is_cut_off_keeps_what_was_saved() {
    for said in ["restored the activity of", "ready to accept connections"] {
        for signal in ["KILL", "QUIT", "INT"] {
            let stopped = Stopped::new();
            // So that there is none, however late the signal comes.
            stopped
                .server
                .start_until(said, signal, &["-c", "max_worker_processes=0"]);
            stopped.assert_kept(&format!("{signal} after \"{said}\""));
        }
    }
}

#[test]
fn a_start_for_pg_upgrade_keeps_what_was_saved() {
    let stopped = Stopped::new();
    stopped
        .server
        .start_until("ready to accept connections", "INT", &["-b"]);
    stopped.assert_kept("after a start for pg_upgrade");
}

#[test]
fn a_single_user_server_keeps_what_was_saved() {
    let stopped = Stopped::new();
    stopped.server.single_user("postgres", "", &[]);
    stopped.assert_kept("after a single-user server that did nothing");
}

/// It has written a checkpoint all the same.
#[test]
fn a_single_user_server_that_ends_with_an_error_keeps_what_was_saved() {
    let stopped = Stopped::new();
    let mut postgres = stopped.server.command_as_server("postgres");
    postgres.arg("--single").arg("-D").arg(stopped.server.data_directory());
    let output = postgres.arg("nonexistent").output().expect("postgres runs");
    assert_eq!(output.status.code(), Some(1), "there is no such database");
    stopped.assert_kept("after a single-user server that ended with an error");
}

#[test]
fn a_single_user_server_knows_what_was_saved_and_saves_what_it_learns() {
    let stopped = Stopped::new();
    let check = |sid: &str| {
        let statement = format!("SELECT session_timeout.check_session('{sid}');\n");
        let answer = stopped.server.single_user(&stopped.name, &statement, &[]);
        answer.contains("= \"t\"")
    };
    assert!(!check("sid-1") && !check("expired"));
    let before_check = Utc::now();
    assert!(check("sid-3"));
    let close = "SELECT session_timeout.close_session('sid-4');\n";
    stopped.server.single_user(&stopped.name, close, &[]);
    stopped.server.start();
    let mut client = connect_again(&stopped.server.config(&stopped.name));
    assert!(client.peek("sid-3").last_activity >= Some(before_check));
    assert!(!client.check("sid-4"));
    assert!(!client.check("expired"));
    assert!(client.peek("sid-2").last_activity >= Some(stopped.begun));
    stopped.assert_consumed("after single-user servers");
}

#[test]
fn a_single_user_server_with_less_room_keeps_what_was_saved() {
    let stopped = Stopped::new();
    let before = stopped.server.log().len();
    stopped
        .server
        .single_user("postgres", "", &["-c", "session_timeout.max_sessions=100"]);
    let log = stopped.server.log();
    assert!(
        log[before..].contains("has no room for"),
        "nothing is said of it:\n{}",
        &log[before..]
    );
    stopped.assert_kept("after a single-user server with less room");
}

/// Where nothing is to be saved, nothing is left that would be said to be of no use later.
#[test]
fn a_single_user_server_leaves_no_stale_snapshot() {
    let stopped = Stopped::new();
    let bytes = fs::read(stopped.file()).expect("the file");
    let other = preloaded().start();
    other.stop(Shutdown::Fast);
    let stale = other.data_directory().join("pg_stat/inactive_session_timeout.snapshot");
    write(&other, &stale, &bytes);
    other.single_user("postgres", "", &[]);
    let left = snapshots(&other);
    assert!(left.is_empty(), "{left:?}");
}

/// It is read by the standby, and kept for as long as that is one.
#[test]
fn a_primary_started_as_a_standby_keeps_what_was_saved_until_it_is_promoted() {
    let stopped = Stopped::new();
    write(
        &stopped.server,
        &stopped.server.data_directory().join("standby.signal"),
        b"",
    );
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        stopped.server.start();
        let mut there = connect_again(&stopped.server.config(&stopped.name));
        assert!(oldest(&mut there) >= stopped.begun, "activity was lost");
        assert!(there.check("sid-2") && !there.check("sid-1") && !there.check("expired"));
        drop(there);
        stopped.server.stop(how);
    }
    stopped.server.start();
    let mut there = connect_again(&stopped.server.config(&stopped.name));
    assert!(there.value::<bool>("SELECT pg_promote(true, 60)", &[]), "promoted");
    drop(there);
    stopped.assert_in_use("after the promotion");
}

/// A switchover and back: what the old primary had not flushed is bound to each restartpoint that it makes as a standby.
#[test]
fn a_primary_that_comes_back_as_a_standby_keeps_what_was_saved_over_restarts() {
    let stopped = Stopped::new();
    let server = &stopped.server;
    let other = server.copy();
    other.start();
    let data = server.data_directory();
    server.set(
        "primary_conninfo",
        &format!("host={} user=postgres", other.directory().display()),
    );
    write(server, &data.join("standby.signal"), b"");
    server.start();
    other.execute("CHECKPOINT");
    let end: String = other.connect().value("SELECT pg_current_wal_lsn()::text", &[]);
    let mut here = connect_again(&server.config(&stopped.name));
    eventually("it follows", SOON, || {
        here.value("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", &[&end])
    });
    let checkpoint = "SELECT checkpoint_lsn::text FROM pg_control_checkpoint()";
    let before: String = here.value(checkpoint, &[]);
    here.run("CHECKPOINT");
    assert_ne!(here.value::<String>(checkpoint, &[]), before, "a restartpoint");
    drop(here);
    server.restart(Shutdown::Fast);
    let mut here = connect_again(&server.config(&stopped.name));
    assert!(here.value::<bool>("SELECT pg_promote(true, 60)", &[]), "promoted");
    drop(here);
    stopped.assert_in_use("after a restart as a standby");
}

#[test]
fn a_snapshot_that_cannot_be_removed_is_reported() {
    let stopped = Stopped::new();
    let directory = stopped.server.data_directory().join("pg_stat");
    let set_mode = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).expect("chmod");
    set_mode(0o500);
    stopped.server.start();
    eventually("it is said", SOON, || {
        stopped.server.log().contains("could not remove file \"pg_stat")
    });
    stopped.server.stop(Shutdown::Immediate);
    set_mode(0o700);
    stopped.assert_kept("though it could not be removed");
}

#[test]
fn a_snapshot_that_cannot_be_written_is_reported() {
    let server = preloaded().start();
    let database = server.database("unwritten");
    database.set_params(&[(param::FLUSH_INTERVAL, "1 hour")]);
    let mut client = database.connect();
    let unfinished = server
        .data_directory()
        .join("pg_stat/inactive_session_timeout.snapshot.tmp");
    eventually("the worker's first pass", SOON, || is_resting(&database));
    fs::create_dir(&unfinished).expect("a directory in its place");
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    drop(client);
    server.stop(Shutdown::Fast);
    assert!(server.log().contains("could not write file \"pg_stat"));
    fs::remove_dir(&unfinished).expect("it is taken away");
    server.start();
    assert_eq!(check_many(&mut database.connect(), "sid", 10), 10);
    assert_no_process_broke(&server);
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
