//! Load by pgbench: prepared statements over the unix socket, the latency of each transaction from its log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use session_timeout_tests::{Database, run};

use crate::sample::Sample;

/// One run of pgbench.
pub struct Load<'a> {
    /// Where.
    pub database: &'a Database<'a>,
    /// What each transaction is.
    pub script: &'a str,
    /// Variables that the script uses.
    pub variables: &'a [(&'a str, String)],
    /// How many connections.
    pub clients: usize,
    /// When it ends.
    pub until: Until,
}

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many seconds.
    Seconds(u32),
    /// When so many transactions are done, all clients together.
    Transactions(u64),
}

impl Load<'_> {
    /// Runs it.
    pub fn run(&self) -> Sample {
        let directory = Scratch::new();
        let script = directory.0.join("script.sql");
        fs::write(&script, self.script).expect("the script is written");
        let threads = self
            .clients
            .min(std::thread::available_parallelism().map_or(1, usize::from));
        let mut pgbench = self.database.program("pgbench");
        pgbench
            .current_dir(&directory.0)
            .args([
                "--no-vacuum",
                "--protocol=prepared",
                "--log",
                "--log-prefix=log",
                "--file",
            ])
            .arg(&script)
            .args([format!("--client={}", self.clients), format!("--jobs={threads}")]);
        match self.until {
            Until::Seconds(seconds) => pgbench.arg(format!("--time={seconds}")),
            Until::Transactions(count) => {
                pgbench.arg(format!("--transactions={}", count.div_ceil(self.clients as u64)))
            }
        };
        for (name, value) in self.variables {
            pgbench.arg(format!("--define={name}={value}"));
        }
        let output = run(&mut pgbench);
        let (latencies, failed) = directory.read_logs();
        let mut sample = Sample::of(latencies, 1.0, failed);
        sample.rate = rate_in(&output);
        sample
    }
}

/// `tps = 12345.678 (without initial connection time)`; nothing where nothing came through.
fn rate_in(output: &str) -> f64 {
    let rate = output
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    match rate {
        Some(rate) => rate,
        None if output.contains("actually processed: 0") => 0.0,
        None => panic!("no rate in what pgbench says: {output}"),
    }
}

/// A directory for a run's files, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("session_timeout_bench_{}_{number}", process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// The latencies of successful transactions in microseconds, and how many failed.
    fn read_logs(&self) -> (Vec<f64>, usize) {
        let mut latencies = Vec::new();
        let mut failed = 0;
        for entry in fs::read_dir(&self.0).expect("the logs").flatten() {
            if !is_log(&entry.path()) {
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("a log");
            // client, number, latency or "failed", …
            for latency in text.lines().filter_map(|line| line.split(' ').nth(2)) {
                match latency.parse() {
                    Ok(latency) => latencies.push(latency),
                    Err(_) => failed += 1,
                }
            }
        }
        (latencies, failed)
    }
}

fn is_log(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with("log."))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
