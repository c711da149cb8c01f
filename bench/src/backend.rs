//! What a call costs inside the backend: nanoseconds over very many calls in one statement.

use session_timeout_tests::Database;

use crate::peers::{self, FIRST_SID, URL};
use crate::sample::median;
use crate::scale::Scale;

/// What is called.
pub struct Row {
    /// Its name in the results.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    expression: String,
    /// How many calls: those that read a row as well are made less often.
    calls: u64,
    /// Nanoseconds a call in each round, the loop's own apart.
    pub nanoseconds: Vec<f64>,
}

impl Row {
    /// The median.
    pub fn median(&self) -> f64 {
        median(self.nanoseconds.iter().copied())
    }
}

/// The functions, each called for every session in turn, in random order. The session ids are of 84 characters, as Odoo's
/// are.
pub fn calls(database: &Database, scale: &Scale, say: impl Fn(&str)) -> Vec<Row> {
    say(&format!("{} calls in one statement", scale.calls));
    let sessions = scale.sessions;
    let prefix = "x".repeat(65);
    peers::fill(database, sessions, &prefix);
    database.execute(&format!(
        "CREATE TABLE call AS SELECT sid, convert_to(sid, 'UTF8') AS bytes FROM (
             SELECT '{prefix}' || ({FIRST_SID} + mod(n::bigint * 7919, {sessions})) AS sid
             FROM generate_series(1, {}) AS n) AS s",
        scale.calls
    ));
    database.execute("VACUUM ANALYZE call");
    let row = |name, title, expression: &str| Row {
        name,
        title,
        expression: expression.to_owned(),
        calls: if ["verdict", "peek"].contains(&name) {
            scale.calls / 10
        } else {
            scale.calls
        },
        nanoseconds: Vec::new(),
    };
    let mut rows = vec![
        row("loop", "the loop alone", "sid"),
        row(
            "empty",
            "a strict C function that does next to nothing: texteq()",
            &format!("texteq(sid, '{URL}')"),
        ),
        row("sha256", "sha256() of the session id", "sha256(bytes)"),
        row(
            "check",
            "check_session()",
            &format!("session_timeout.check_session(sid, '{URL}')"),
        ),
        row(
            "check_ignored",
            "check_session() of an ignored url",
            "session_timeout.check_session(sid, '/websocket')",
        ),
        row("digest", "session_digest()", "session_timeout.session_digest(sid)"),
        row(
            "verdict",
            "session_verdict()",
            &format!("session_timeout.session_verdict(sid, '{URL}')"),
        ),
        row("peek", "peek_session()", "session_timeout.peek_session(sid)"),
    ];
    let mut client = database.connect();
    client
        .batch_execute("SET jit = off; SET max_parallel_workers_per_gather = 0")
        .expect("settings");
    // The first round warms up.
    for round in 0..=scale.rounds {
        let mut alone = 0.0;
        for row in &mut rows {
            let sql = format!(
                "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count({}) FROM (SELECT * FROM call LIMIT {}) AS call",
                row.expression, row.calls
            );
            let plan: serde_json::Value = client.query_one(&sql, &[]).expect("a plan").get(0);
            let milliseconds = plan[0]["Execution Time"].as_f64().expect("a time");
            let each = milliseconds * 1e6 / row.calls as f64;
            if row.name == "loop" {
                alone = each;
            }
            if round > 0 {
                row.nanoseconds
                    .push(if row.name == "loop" { each } else { each - alone });
            }
        }
    }
    rows
}
