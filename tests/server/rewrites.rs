//! The session table is rewritten: by `VACUUM FULL`, and since PostgreSQL 19 by `REPACK (CONCURRENTLY)`, during which others
//! write to it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, param};

use crate::support::preloaded::{self, QUICK};
use crate::support::{
    Book, Load, STRICT_LEVELS, SessionCalls, Swarm, assert_kept, assert_no_process_broke, assert_settles, begin,
    check_many, expect, open_many, size,
};

/// The commands that the server has.
fn commands(client: &mut Client) -> Vec<&'static str> {
    let mut commands = vec!["VACUUM FULL session_timeout.session"];
    if client.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) >= 190_000 {
        commands.push("REPACK (CONCURRENTLY) session_timeout.session");
    }
    commands
}

fn rotated(turn: u64) -> String {
    format!("rotated-{turn}")
}

#[test]
fn a_rewrite_under_load_keeps_every_login_logout_and_rotation() {
    static TURN: AtomicU64 = AtomicU64::new(0);
    let server = preloaded::builder().setting("max_worker_processes", "16").start();
    let database = preloaded::database_on(&server, "rewritten", &QUICK);
    let mut admin = database.connect();
    open_many(&mut admin, "other", 10_000);
    admin.open(&rotated(0));
    for command in commands(&mut admin) {
        let load = Load::start(&database.config(), command, 2, Book::default());
        let rotating = Swarm::start([database.connect()], |client, _| {
            let turn = TURN.load(Relaxed);
            let (old, new) = (rotated(turn), rotated(turn + 1));
            expect(client.rotate(&old, &new), true, &format!("{old} is rotated"))?;
            expect(client.check(&old), false, &format!("{old} is valid"))?;
            expect(client.check(&new), true, &format!("{new} is valid"))?;
            TURN.store(turn + 1, Relaxed);
            Ok(())
        });
        load.until("sessions to rewrite", |book| book.sessions.len() > 50);
        for round in 0..size(5, 50) {
            admin.run(command);
            load.until("the load goes on", |book| book.sessions.len() > 50 * (round + 2));
        }
        assert!(rotating.stop() > 0, "{command}: nothing was rotated");
        let mut book = load.end(true);
        assert_kept(&mut admin, &mut book, Utc::now());
        assert_settles(&mut admin, &book);
        let last = rotated(TURN.load(Relaxed));
        assert!(admin.check(&last) && admin.stored(&last).is_some(), "{command}: {last}");
        assert_eq!(check_many(&mut admin, "other", 10_000), 10_000, "{command}");
    }
    assert_no_process_broke(&server);
}

/// What `REPACK (CONCURRENTLY)` copies is newer than its snapshot, so a SELECT of it sees no row.
#[test]
fn a_transaction_from_before_a_rewrite_still_finds_its_session() {
    let server = Server::builder().start();
    let database = server.database("rewritten");
    database.set_params(&[(param::DELAY, "1 hour")]);
    let (mut admin, mut app) = (database.connect(), database.connect());
    admin.open("sid");
    for command in commands(&mut admin) {
        for level in STRICT_LEVELS {
            begin(&mut app, level);
            admin.run(command);
            let found = (app.check("sid"), app.peek("sid").valid, app.close_sid("sid"));
            assert_eq!(found, (true, true, true), "{command}, {level}");
            app.run("ROLLBACK");
        }
    }
}
