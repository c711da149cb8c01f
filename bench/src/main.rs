//! Measures `inactive_session_timeout` against what people use instead, side by side in one run on throwaway servers with
//! default durability. `make bench` runs it.
//!
//! | module | its job |
//! | --- | --- |
//! | `scale` | how much is measured |
//! | `peers`, `others` | what is measured: statements on the server; Redis and files |
//! | `load`, `sample`, `wal` | how: pgbench, medians, the write-ahead log |
//! | `throughput`, `writes`, `backend`, `instructions`, `growth`, `launcher`, `cost` | the figures, a file for each kind |
//! | `results`, `tables`, `picture` | what comes of it: targets and JSON, tables, a picture |
//!
//! Peers take turns, round after round, since machines drift: medians and ratios within a round are quoted.

mod backend;
mod cost;
mod growth;
mod instructions;
mod launcher;
mod load;
mod others;
mod peers;
mod picture;
mod results;
mod sample;
mod scale;
mod tables;
mod throughput;
mod wal;
mod writes;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use session_timeout_tests::Server;

use results::Results;
use scale::{Part, Scale};

fn main() {
    let scale = Scale::from_environment();
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/bench"), PathBuf::from);
    fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let begun = Instant::now();
    let say = |what: &str| eprintln!("[{:4.0} s] {what}", begun.elapsed().as_secs_f64());

    let mut results = Results {
        sessions: scale.sessions,
        ..Results::default()
    };
    let server = Server::builder()
        .durable()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.max_sessions", "250000")
        .setting("session_timeout.naptime", "1")
        .start();
    results.machine = machine(&server, &scale);
    let database = server.database("bench");
    results.smallest_update = growth::smallest_update(&database);
    if scale.wants(Part::Load) {
        say(&format!("{} sessions for each peer", scale.sessions));
        peers::set_up(&database, scale.sessions);
        results.backend = backend::calls(&database, &scale, say);
        results.many = throughput::over_many_sessions(&database, &scale, say);
        results.one = throughput::on_one_session(&database, &scale, say);
        results.request = vec![throughput::in_a_request(&database, &scale, say)];
        results.writes = writes::of_a_minute(&database, &scale, say);
    }
    drop(database);
    drop(server);
    if scale.wants(Part::Background) {
        results.launcher = launcher::all(&scale, say);
    }
    if scale.wants(Part::Instructions) {
        results.instructions = instructions::count(say).unwrap_or_default();
    }
    if scale.wants(Part::Growth) {
        results.growth = growth::all(&scale, say);
    }
    if scale.wants(Part::Cost) {
        results.cost = cost::all(&scale, say);
    }
    results.seconds = begun.elapsed().as_secs_f64();

    let tables = tables::of(&results);
    println!("{tables}");
    let json = serde_json::to_string_pretty(&results.to_json()).expect("numbers and text");
    fs::write(directory.join("results.json"), json + "\n").expect("results.json is written");
    fs::write(directory.join("tables.md"), tables).expect("tables.md is written");
    if !results.many.is_empty() {
        picture::draw(&results, &directory.join("performance.svg")).expect("performance.svg is drawn");
    }
    say(&format!("done: the results are in {}", directory.display()));
}

fn machine(server: &Server, scale: &Scale) -> Vec<(&'static str, String)> {
    let first_of = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':')
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let setting = |name: &str| -> String {
        let row = server.connect().query_one(&format!("SHOW {name}"), &[]);
        row.expect("a setting").get(0)
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        (
            "processor",
            format!("{} × {}", processors, first_of("/proc/cpuinfo", "model name")),
        ),
        ("memory", first_of("/proc/meminfo", "MemTotal")),
        (
            "kernel",
            fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
        ),
        ("PostgreSQL", setting("server_version")),
        (
            "durability",
            format!(
                "fsync {}, synchronous_commit {}, full_page_writes {}",
                setting("fsync"),
                setting("synchronous_commit"),
                setting("full_page_writes")
            ),
        ),
        (
            "run",
            format!("{}: {} rounds of {} s", scale.name, scale.rounds, scale.seconds),
        ),
    ]
}
