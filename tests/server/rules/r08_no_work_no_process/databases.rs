//! Databases are dropped, renamed and copied while a worker is at work in them.

use session_timeout_tests::chrono::Utc;
use session_timeout_tests::postgres::NoTls;
use session_timeout_tests::{Server, eventually, param};

use crate::support::preloaded::{self, QUIET, and};
use crate::support::{
    Book, Load, NOTE, SOON, SessionCalls, assert_kept, assert_no_process_broke, catch_worker, check_many, connect,
    hang_in_commit, let_go, new_sid, open_expired, open_many, size,
};

/// Sessions that keep workers busy for several passes.
const MANY: usize = 30_000;

/// A database with many sessions that are not limited yet.
fn make_template(server: &Server) -> String {
    server.execute("CREATE DATABASE full_of_sessions");
    let mut client = connect(server, "full_of_sessions");
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.set_param(param::DELAY, Some("0"));
    open_many(&mut client, "idle", MANY);
    client.run("UPDATE session_timeout.session SET last_activity = clock_timestamp() - interval '3 hours'");
    open_many(&mut client, "active", 1000);
    "full_of_sessions".to_owned()
}

/// A copy of it in which most sessions have expired, and the others are to be flushed.
fn make_busy(server: &Server, template: &str, name: &str) {
    server.execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"));
    let mut client = connect(server, name);
    client.set_param(param::DELAY, Some("7200"));
    assert_eq!(check_many(&mut client, "active", 1000), 1000);
}

#[test]
fn databases_are_dropped_renamed_and_copied_while_a_worker_is_in_them() {
    let server = preloaded::builder().setting("autovacuum", "off").start();
    let other = server.database("other");
    let template = make_template(&server);
    let load = Load::start(&other.config(), "load", 2, Book::default());
    let mut admin = server.connect();
    for round in 0..size(5, 20) {
        // Each in the midst of a purge.
        let [renamed, copied, dropped] = ["renamed", "copied", "dropped"].map(|what| format!("{what}_{round}"));
        make_busy(&server, &template, &renamed);
        catch_worker(&mut admin, &renamed);
        admin.run(&format!("ALTER DATABASE {renamed} RENAME TO {renamed}_now"));
        make_busy(&server, &template, &copied);
        catch_worker(&mut admin, &copied);
        admin.run(&format!("CREATE DATABASE {copied}_now TEMPLATE {copied}"));
        make_busy(&server, &template, &dropped);
        catch_worker(&mut admin, &dropped);
        admin.run(&format!("DROP DATABASE {dropped}"));
        for left in [format!("{renamed}_now"), format!("{copied}_now"), copied] {
            admin.run(&format!("DROP DATABASE {left}"));
        }
    }
    let mut book = load.end(true);
    assert_kept(&mut other.connect(), &mut book, Utc::now());
    assert_no_process_broke(&server);
}

/// Before 19, it waits until the worker has ended its pass.
#[test]
fn since_19_postgresql_ends_the_worker_of_a_database_that_is_copied() {
    let server = preloaded::builder().setting("autovacuum", "off").start();
    let template = make_template(&server);
    let mut admin = server.connect();
    let copy_from_under = |name: String| {
        make_busy(&server, &template, &name);
        let worker = catch_worker(&mut admin, &name);
        admin.run(&format!("CREATE DATABASE {name}_now TEMPLATE {name}"));
        worker
    };
    let workers: Vec<i32> = (0..5)
        .map(|round| format!("copied_{round}"))
        .map(copy_from_under)
        .collect();
    let log = server.log();
    let was_ended = |worker: &i32| log.contains(&format!("(PID {worker}) exited with exit code 1"));
    let is_19 = admin.value::<i32>("SELECT current_setting('server_version_num')::int", &[]) >= 190_000;
    assert_eq!(workers.iter().any(was_ended), is_19);
}

/// WITH (FORCE) ends no process of a superuser's for anybody else, and a worker is one.
#[test]
fn an_owner_drops_a_database_with_force_and_the_log_has_no_fatal_line() {
    let server = preloaded::builder().setting("autovacuum", "off").start();
    let template = make_template(&server);
    let owner = server.role("owner", "LOGIN CREATEDB");
    let mut admin = server.connect();
    let mut own = server
        .config("postgres")
        .user(owner.name())
        .connect(NoTls)
        .expect("a connection");
    for round in 0..size(3, 10) {
        let name = format!("forced_{round}");
        make_busy(&server, &template, &name);
        admin.run(&format!("ALTER DATABASE {name} OWNER TO {}", owner.name()));
        catch_worker(&mut admin, &name);
        own.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }
    let log = server.log();
    let is_fatal = |line: &&str| line.contains("session_timeout worker") && line.contains("FATAL");
    assert_eq!(log.lines().find(is_fatal), None);
    assert_no_process_broke(&server);
}

/// DROP DATABASE itself waits for every process, whatever database that is in, and so for the one that hangs.
#[test]
fn a_database_is_renamed_though_a_commit_elsewhere_hangs_after_its_notice() {
    let server = preloaded::small();
    let elsewhere = preloaded::database_on_small(&server, "rename_elsewhere", &QUIET);
    let renamed = preloaded::database_on_small(&server, "rename_notices", &and(QUIET, (param::PURGE_INTERVAL, "1")));
    let name = renamed.name().to_owned();
    let hanging = hang_in_commit(&elsewhere, NOTE, &new_sid());
    for _ in 0..3 {
        let sid = new_sid();
        let mut client = renamed.connect();
        open_expired(&mut client, &sid);
        assert!(!client.check(&sid));
    }
    eventually("a worker comes", SOON, || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'session_timeout worker' AND datname = $1";
        server.connect().value::<i64>(sql, &[&name]) > 0
    });
    server.execute(&format!("ALTER DATABASE {name} RENAME TO {name}_new"));
    server.execute(&format!("ALTER DATABASE {name}_new RENAME TO {name}"));
    let_go(&mut elsewhere.connect(), hanging);
}
