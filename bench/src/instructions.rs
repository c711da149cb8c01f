//! Instructions a call, counted by callgrind over a backend in single-user mode.
//!
//! Valgrind shows programs a processor without instructions for SHA, so that the hash's own are counted apart: here both
//! sides compute it the long way.

use std::fs;
use std::process::{Command, Stdio};

use session_timeout_tests::{Server, Shutdown, run};

use crate::peers::URL;

/// What one call takes.
pub struct Row {
    /// What is called.
    pub title: &'static str,
    /// Instructions, those of the hash's rounds apart.
    pub without_hash: f64,
    /// Those of the hash's rounds, on a processor without instructions for them.
    pub hash: f64,
}

const CALLS: u32 = 20_000;

/// `None` where valgrind is not installed.
pub fn count(say: impl Fn(&str)) -> Option<Vec<Row>> {
    Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .ok()?;
    say("instructions a call, by callgrind");
    let server = Server::builder()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.max_sessions", "1000")
        .start();
    let sid = format!("{:a>84}", "sid");
    let database = server.database("instructions");
    database.execute(&format!("SELECT session_timeout.open_session('{sid}')"));
    let name = database.name().to_owned();
    server.stop(Shutdown::Fast);
    let count = |title, symbol: &str, expression: String| {
        let statement = format!("SELECT count({expression}) FROM generate_series(1, {CALLS}) AS n");
        let out = server.data_directory().join(format!("{symbol}.callgrind"));
        let input = server.data_directory().join("callgrind.sql");
        fs::write(&input, statement).expect("the statement is written");
        let mut valgrind = server.command_as_server("/usr/bin/valgrind");
        valgrind
            .args(["--tool=callgrind", "--collect-atstart=no"])
            .arg(format!("--toggle-collect={symbol}"))
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(server.bindir().join("postgres"))
            .args(["--single", "-D"])
            .arg(server.data_directory())
            .arg(&name)
            .stdin(fs::File::open(&input).expect("the statement"));
        run(&mut valgrind);
        let report = run(Command::new("callgrind_annotate")
            .args(["--threshold=100", "--show-percs=no"])
            .arg(&out));
        let cost = |line: &str| -> Option<f64> { line.split_whitespace().next()?.replace(',', "").parse().ok() };
        let total = report
            .lines()
            .find(|line| line.contains("PROGRAM TOTALS"))
            .and_then(cost);
        let hash: f64 = report
            .lines()
            .filter(|line| line.contains("sha2::") || line.contains("sha256_block"))
            .filter_map(cost)
            .sum();
        let total = total.unwrap_or_else(|| panic!("callgrind says: {report}"));
        Row {
            title,
            without_hash: (total - hash) / f64::from(CALLS),
            hash: hash / f64::from(CALLS),
        }
    };
    let rows = vec![
        count(
            "check_session()",
            "ist_check_session",
            // Not a constant, which would be computed once.
            format!("session_timeout.check_session('{sid}', '{URL}')"),
        ),
        count(
            "sha256()",
            "sha256_bytea",
            format!("sha256(convert_to(left('{sid}', 84 + n * 0), 'UTF8'))"),
        ),
    ];
    Some(rows)
}
