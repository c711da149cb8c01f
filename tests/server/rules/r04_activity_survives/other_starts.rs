//! Starts that fail, and starts for another purpose, keep what was saved.

use std::fs;
use std::net::TcpListener;

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::{Shutdown, eventually};

use crate::support::preloaded;
use crate::support::{SOON, SessionCalls, Stopped, connect_again, oldest_activity, write_file};

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
    write_file(server, &hba, b"host all all nonsense\n");
    fails("pg_hba.conf", &[]);
    write_file(server, &hba, &good);

    fails(
        "no directory for the socket",
        &["-c", "unix_socket_directories=/nonexistent"],
    );
    let other = preloaded::builder().start();
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
fn a_single_user_server_reads_what_was_saved_and_saves_again() {
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

/// It is read by the standby, and kept for as long as that is one.
#[test]
fn a_primary_started_as_a_standby_keeps_what_was_saved_until_promoted() {
    let stopped = Stopped::new();
    write_file(
        &stopped.server,
        &stopped.server.data_directory().join("standby.signal"),
        b"",
    );
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        stopped.server.start();
        let mut there = connect_again(&stopped.server.config(&stopped.name));
        assert!(oldest_activity(&mut there) >= stopped.begun, "activity was lost");
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
fn a_primary_restarted_as_a_standby_keeps_what_was_saved() {
    let stopped = Stopped::new();
    let server = &stopped.server;
    let other = server.copy();
    other.start();
    let data = server.data_directory();
    server.set(
        "primary_conninfo",
        &format!("host={} user=postgres", other.directory().display()),
    );
    write_file(server, &data.join("standby.signal"), b"");
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
