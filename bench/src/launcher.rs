//! What the background costs where nothing happens: processor time of the launcher, and of the workers it starts.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Server, eventually, param};

use crate::scale::Scale;

/// So many databases with the extension, and nothing to do in any.
pub struct Row {
    /// How many.
    pub databases: usize,
    /// Milliseconds of processor time a minute of the launcher.
    pub launcher: f64,
    /// Milliseconds of processor time a minute of the workers, their start and end included.
    pub workers: f64,
    /// Passes a minute.
    pub passes: f64,
}

/// All numbers of databases. A purge is looked for more often than by default, so that a short while shows some.
pub fn all(scale: &Scale, say: impl Fn(&str)) -> Vec<Row> {
    let interval = scale.idle.to_string();
    let server = Server::builder()
        .durable()
        .setting("shared_preload_libraries", "inactive_session_timeout")
        .setting("session_timeout.naptime", &scale.idle.min(10).to_string())
        .setting("autovacuum", "off")
        .start();
    let template = server.database("launcher");
    template.set_params(&[(param::PURGE_INTERVAL, &interval)]);
    let mut databases: Vec<Database> = Vec::new();
    scale
        .databases
        .iter()
        .map(|&count| {
            say(&format!("the background with {count} idle databases"));
            // The template is the first.
            while databases.len() + 1 < count {
                let copy = server.database_builder("idle").without_extension().create();
                copy.execute(&format!(
                    "CREATE EXTENSION inactive_session_timeout;
                     UPDATE session_timeout.config_parameter SET value = '{interval}' WHERE key = '{}'",
                    param::PURGE_INTERVAL
                ));
                databases.push(copy);
            }
            let mut client = template.connect();
            eventually(
                "every database has had its first pass",
                Duration::from_secs(120),
                || passes(&mut client).len() >= count,
            );
            measure(&mut client, count, Duration::from_secs(scale.idle))
        })
        .collect()
}

fn measure(client: &mut Client, databases: usize, window: Duration) -> Row {
    let launcher = pid_of(client, "session_timeout launcher");
    let postmaster = parent_of(launcher);
    let before = (
        run_time(launcher).expect("the launcher"),
        time_of_children(postmaster),
        passes(client),
    );
    let begun = Instant::now();
    let mut seen = before.2.clone();
    let mut count = 0;
    while begun.elapsed() < window {
        thread::sleep(Duration::from_millis(200));
        let now = passes(client);
        count += now.iter().filter(|pass| !seen.contains(pass)).count();
        seen = now;
    }
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let after = (run_time(launcher).expect("the launcher"), time_of_children(postmaster));
    Row {
        databases,
        launcher: (after.0 - before.0) / minutes,
        workers: (after.1 - before.1) / minutes,
        passes: count as f64 / minutes,
    }
}

/// When each database's last pass ended.
fn passes(client: &mut Client) -> Vec<(u32, String)> {
    let sql = "SELECT datid, last_pass::text FROM session_timeout.stat_worker WHERE last_pass IS NOT NULL";
    let rows = client.query(sql, &[]).expect("stat_worker");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Milliseconds that a process has run; `None` where it is gone.
pub fn run_time(pid: i32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let nanoseconds: f64 = text
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .expect("a number");
    Some(nanoseconds / 1e6)
}

/// The process id of a background process.
pub fn pid_of(client: &mut Client, what: &str) -> i32 {
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE backend_type = '{what}'");
    client.query_one(&sql, &[]).expect("a background process").get(0)
}

/// The process that has started another.
pub fn parent_of(pid: i32) -> i32 {
    stat(pid)[1].parse().expect("a process id")
}

/// Milliseconds that the children of a process had run, which have ended.
pub fn time_of_children(pid: i32) -> f64 {
    // In ticks, a hundred a second.
    let ticks: Vec<f64> = stat(pid)[13..15]
        .iter()
        .map(|field| field.parse().expect("ticks"))
        .collect();
    (ticks[0] + ticks[1]) * 10.0
}

/// The fields of `/proc/…/stat` after the name, from the third of the manual's on.
fn stat(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let (_, fields) = text.rsplit_once(") ").expect("a name in parentheses");
    fields.split_whitespace().map(str::to_owned).collect()
}
