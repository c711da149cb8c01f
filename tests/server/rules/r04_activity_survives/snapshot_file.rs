//! The file that keeps activity over a clean restart: written, read once, removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::{Shutdown, eventually, param};

use crate::support::preloaded;
use crate::support::{
    SOON, Stopped, assert_no_process_broke, check_many, is_resting, open_many, snapshot_files, write_file,
};

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
    write_file(&stopped.server, &file, &bytes);
    Stopped {
        begun: Utc::now(),
        ..stopped
    }
    .assert_ignored("stale");
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
    let server = preloaded::builder().start();
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
    let server = preloaded::builder().start();
    let database = server.database("immediate");
    let mut client = database.connect();
    open_many(&mut client, "sid", 10);
    assert_eq!(check_many(&mut client, "sid", 10), 10);
    server.stop(Shutdown::Immediate);
    assert!(snapshot_files(&server).is_empty());
    server.start();
    assert_eq!(check_many(&mut database.connect(), "sid", 10), 10);
}
