//! Snapshot files that are damaged, foreign or out of date bring no session back.

use std::fs;

use session_timeout_tests::Shutdown;
use session_timeout_tests::chrono::Utc;

use crate::support::preloaded;
use crate::support::{SessionCalls, Stopped, assert_no_process_broke, connect_again, snapshot_files, write_file};

#[test]
fn a_damaged_snapshot_is_reported_and_ignored() {
    for place in [0, 1, 2] {
        let stopped = Stopped::new();
        let file = stopped.file();
        let mut bytes = fs::read(&file).expect("the file");
        let at = [0, bytes.len() / 2, bytes.len() - 1][place];
        bytes[at] ^= 0x10;
        write_file(&stopped.server, &file, &bytes);
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
        write_file(&stopped.server, &file, &bytes[..end]);
        stopped.assert_ignored("cut off");
    }
}

#[test]
fn a_foreign_snapshot_is_reported_and_ignored() {
    let (other, stopped) = (Stopped::new(), Stopped::new());
    let bytes = fs::read(other.file()).expect("the file");
    write_file(&stopped.server, &stopped.file(), &bytes);
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
    write_file(&stopped.server, &file, &bytes);
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
    write_file(&stopped.server, &file, &bytes);
    Stopped {
        begun: Utc::now(),
        ..stopped
    }
    .assert_ignored("from before a checkpoint");
}

/// Where nothing is to be saved, nothing is left that would be said to be of no use later.
#[test]
fn a_single_user_server_leaves_no_stale_snapshot() {
    let stopped = Stopped::new();
    let bytes = fs::read(stopped.file()).expect("the file");
    let other = preloaded::builder().start();
    other.stop(Shutdown::Fast);
    let stale = other.data_directory().join("pg_stat/inactive_session_timeout.snapshot");
    write_file(&other, &stale, &bytes);
    other.single_user("postgres", "", &[]);
    let left = snapshot_files(&other);
    assert!(left.is_empty(), "{left:?}");
}
