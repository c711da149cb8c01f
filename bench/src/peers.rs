//! What is measured: the extension, the limit, and what people use instead.

use session_timeout_tests::Database;

use crate::load::{Load, Until};
use crate::sample::Sample;

/// The first session id: pgbench binds whole numbers, so ids are numbers of 19 digits.
pub const FIRST_SID: u64 = 1_000_000_000_000_000_000;

/// The url of a request, which is on no list.
pub const URL: &str = "/web/dataset/call_kw/sale.order/web_search_read";

/// A peer that is a statement on the server.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its name in the results.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What one request is.
    statements: &'static str,
    /// The table that it writes, if it does.
    pub table: Option<&'static str>,
}

/// The same statement shape with no work in it.
pub const LIMIT: Peer = Peer {
    name: "limit",
    title: "the limit: SELECT $1, $2",
    statements: "SELECT :sid::text, :url::text;",
    table: None,
};

/// The extension.
pub const CHECK: Peer = Peer {
    name: "check",
    title: "check_session()",
    statements: "SELECT session_timeout.check_session(:sid, :url);",
    table: Some("session_timeout.session"),
};

/// An UPDATE for each request, in plpgsql.
pub const UPDATE: Peer = Peer {
    name: "update",
    title: "UPDATE in plpgsql",
    statements: "SELECT update_check(:sid, :url);",
    table: Some("update_session"),
};

/// An UPDATE once a minute.
pub const MINUTE: Peer = Peer {
    name: "minute",
    title: "UPDATE once a minute",
    statements: "SELECT minute_check(:sid, :url);",
    table: Some("minute_session"),
};

/// An UPDATE of an unlogged table.
pub const UNLOGGED: Peer = Peer {
    name: "unlogged",
    title: "UPDATE, unlogged table",
    statements: "SELECT unlogged_check(:sid, :url);",
    table: Some("unlogged_session"),
};

/// OCA `session_db`.
pub const SESSION_DB: Peer = Peer {
    name: "session_db",
    title: "session_db: read and upsert",
    statements: "SELECT payload FROM http_sessions WHERE sid = :sid;\n\
        INSERT INTO http_sessions (sid, write_date, payload) VALUES (:sid, now() AT TIME ZONE 'UTC', :payload)\n\
        ON CONFLICT (sid) DO UPDATE SET payload = excluded.payload, write_date = excluded.write_date;",
    table: Some("http_sessions"),
};

/// Those on the server, in the order of the rounds.
pub const PEERS: [Peer; 6] = [LIMIT, CHECK, UPDATE, MINUTE, UNLOGGED, SESSION_DB];

/// In what transaction a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement its own, READ COMMITTED.
    ReadCommitted,
    /// In a block of REPEATABLE READ.
    RepeatableRead,
}

impl Isolation {
    /// Its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
        }
    }
}

impl Peer {
    /// Requests of sessions by chance, out of the first `sessions`.
    pub fn run(
        &self,
        database: &Database,
        sessions: u64,
        isolation: Isolation,
        clients: usize,
        until: Until,
    ) -> Sample {
        Load {
            database,
            script: &self.script(sessions, isolation),
            variables: &variables(),
            clients,
            until,
        }
        .run()
    }

    fn script(&self, sessions: u64, isolation: Isolation) -> String {
        let statements = self.statements;
        let pick = format!("\\set sid random({FIRST_SID}, {})\n", FIRST_SID + sessions - 1);
        match isolation {
            Isolation::ReadCommitted => format!("{pick}{statements}\n"),
            Isolation::RepeatableRead => {
                format!("{pick}BEGIN ISOLATION LEVEL REPEATABLE READ;\n{statements}\nEND;\n")
            }
        }
    }

    /// Makes the sessions as they are before a measurement. `stale` of them, in the hundred, have last been touched more
    /// than a minute ago, which only [`MINUTE`] asks.
    pub fn reset(&self, database: &Database, sessions: u64, stale: u64) {
        if self.name == MINUTE.name {
            database.execute(&format!(
                "TRUNCATE minute_session;
                 INSERT INTO minute_session SELECT ({FIRST_SID} + n)::text, 'user ' || n % 1000, now(),
                        clock_timestamp() - CASE WHEN n % 100 < {stale} THEN interval '61 s' ELSE interval '0' END
                     FROM generate_series(0, {sessions} - 1) AS n"
            ));
        }
    }
}

/// The share of requests, in the hundred, that find their session untouched for a minute, where an active session makes
/// ten requests a minute.
pub const STALE: u64 = 10;

/// What each script may use.
pub fn variables() -> [(&'static str, String); 2] {
    [("url", URL.to_owned()), ("payload", payload())]
}

/// A session's contents of a usual size, 700 bytes of JSON.
pub fn payload() -> String {
    let mut payload = r#"{"db":"prod","login":"user@example.com","uid":7,"context":{"lang":"en_GB","tz":"Europe/Brussels","uid":7,"allowed_company_ids":[1]},"debug":"","session_token":""#.to_owned();
    while payload.len() < 690 {
        payload.push_str("9f86d081884c7d65");
    }
    payload.truncate(690);
    payload + r#"","geo":1}"#
}

/// Makes the peers' tables and fills them, and the extension's.
pub fn set_up(database: &Database, sessions: u64) {
    database.execute(include_str!("../sql/peers.sql"));
    database.execute(include_str!("../sql/request.sql"));
    for table in ["update_session", "minute_session", "unlogged_session"] {
        database.execute(&format!(
            "INSERT INTO {table} SELECT ({FIRST_SID} + n)::text, 'user ' || n % 1000, now(), now()
                 FROM generate_series(0, {sessions} - 1) AS n"
        ));
    }
    let mut client = database.connect();
    client
        .execute(
            &format!(
                "INSERT INTO http_sessions SELECT ({FIRST_SID} + n)::text, now() AT TIME ZONE 'UTC', $1
                     FROM generate_series(0, {sessions}::bigint - 1) AS n"
            ),
            &[&payload()],
        )
        .expect("http_sessions is filled");
    fill(database, sessions, "");
    database.execute("VACUUM ANALYZE");
    database.execute("CHECKPOINT");
}

/// Opens sessions in bulk, whose ids are numbers after a prefix: as many rows, without their triggers and with the indexes made at the end. Every other one is
/// ten days old, the others twenty.
pub fn fill(database: &Database, sessions: u64, prefix: &str) {
    database.execute(
        "BEGIN;
         ALTER TABLE session_timeout.session DISABLE TRIGGER session_before_write;
         ALTER TABLE session_timeout.session DROP CONSTRAINT session_pkey;
         COMMIT",
    );
    for (first, last) in chunks(sessions) {
        database.execute(&format!(
            "INSERT INTO session_timeout.session (digest, user_name, opened_at, last_activity, version)
                 SELECT sha256(convert_to('{prefix}' || ({FIRST_SID} + n), 'UTF8')), 'user ' || n / 50,
                        now() - interval '10 days' * (1 + n % 2), now(), n + 1
                 FROM generate_series({first}, {last}) AS n"
        ));
    }
    database.execute(&format!(
        "BEGIN;
         SET LOCAL maintenance_work_mem = '512MB';
         ALTER TABLE session_timeout.session ADD CONSTRAINT session_pkey PRIMARY KEY (digest);
         ALTER TABLE session_timeout.session ENABLE ALWAYS TRIGGER session_before_write;
         SELECT setval('session_timeout.session_version_seq', {sessions} + 1);
         COMMIT"
    ));
}

/// Ranges of sessions, the last included, each for a statement that does not take too long.
pub fn chunks(sessions: u64) -> impl Iterator<Item = (u64, u64)> {
    const MOST: u64 = 500_000;
    (0..sessions)
        .step_by(MOST as usize)
        .map(move |first| (first, (first + MOST).min(sessions) - 1))
}
