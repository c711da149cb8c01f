//! The words in which the tests speak of sessions: one short call for each thing that an application or an
//! administrator does, and what they see afterwards.

use std::fmt::Debug;

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::postgres::types::{FromSqlOwned, ToSql};
use session_timeout_tests::postgres::{Client, Row};

/// Two hours, the delay unless a test sets another.
pub const DELAY: TimeDelta = TimeDelta::hours(2);

/// Every isolation level, as `BEGIN ISOLATION LEVEL` has it.
pub const ISOLATION_LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// What `session_verdict` and `peek_session` answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub valid: bool,
    pub status: String,
    pub user_name: Option<String>,
    pub opened_at: Option<DateTime<Utc>>,
    pub last_activity: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub expires_in: Option<TimeDelta>,
    pub warn: bool,
}

impl Verdict {
    fn of(row: &Row) -> Self {
        Self {
            valid: row.get("valid"),
            status: row.get("status"),
            user_name: row.get("user_name"),
            opened_at: row.get("opened_at"),
            last_activity: row.get("last_activity"),
            expires_at: row.get("expires_at"),
            expires_in: row.get::<_, Option<i64>>("expires_in").map(TimeDelta::microseconds),
            warn: row.get("warn"),
        }
    }

    /// The limit in force, by the distance of the end from the last activity.
    pub fn idle_limit(&self) -> Option<TimeDelta> {
        Some(self.expires_at? - self.last_activity?)
    }

    /// The limit in force, by the distance of the end from the login.
    pub fn absolute_limit(&self) -> Option<TimeDelta> {
        Some(self.expires_at? - self.opened_at?)
    }
}

/// A row of `session`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub user_name: Option<String>,
    pub opened_at: DateTime<Utc>,
    pub last_activity: DateTime<Utc>,
    pub idle_delay: Option<String>,
    pub absolute_delay: Option<String>,
    pub version: i64,
    /// Where this version of the row is, and the transaction that wrote it: changes with every write.
    pub written: String,
}

/// A row of `session_event`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub user_name: Option<String>,
    pub kind: String,
    pub last_activity: DateTime<Utc>,
}

/// A connection of an application, or of its administrator.
pub trait SessionCalls {
    /// Runs statements that answer nothing.
    fn run(&mut self, sql: &str);
    /// The one value that a query answers.
    fn value<T: FromSqlOwned>(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> T;
    /// How many rows a statement wrote.
    fn write(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> u64;

    /// `open_session(sid)`
    fn open(&mut self, sid: &str);
    /// `open_session(sid, user_name)`
    fn open_as(&mut self, sid: &str, user_name: &str);
    /// `open_session` with limits of its own.
    fn open_limited(&mut self, sid: &str, idle_delay: Option<&str>, absolute_delay: Option<&str>);
    /// `check_session(sid)`
    fn check(&mut self, sid: &str) -> bool;
    /// `check_session(sid, url)`
    fn check_url(&mut self, sid: &str, url: &str) -> bool;
    /// `session_verdict(sid)`
    fn verdict(&mut self, sid: &str) -> Verdict;
    /// `session_verdict(sid, url)`
    fn verdict_url(&mut self, sid: &str, url: &str) -> Verdict;
    /// `peek_session(sid)`
    fn peek(&mut self, sid: &str) -> Verdict;
    /// `close_session(sid)`
    fn close_sid(&mut self, sid: &str) -> bool;
    /// `close_user_sessions(user_name)`
    fn close_user(&mut self, user_name: &str) -> i64;
    /// `rotate_session(old, new)`
    fn rotate(&mut self, old: &str, new: &str) -> bool;
    /// `purge_sessions()`
    fn purge(&mut self) -> i64;
    /// `set_param(key, value)`
    fn set_param(&mut self, key: &str, value: Option<&str>) -> Option<String>;

    /// Places a session's last activity so long before now.
    fn has_been_idle(&mut self, sid: &str, interval: &str);
    /// Places a session's login so long before now.
    fn was_opened_ago(&mut self, sid: &str, interval: &str);

    /// The session's row, in the eyes of this connection.
    fn stored(&mut self, sid: &str) -> Option<Stored>;
    /// The session's events, in order.
    fn events(&mut self, sid: &str) -> Vec<Event>;
    /// Their kinds.
    fn event_kinds(&mut self, sid: &str) -> Vec<String>;
}

const VERDICT: &str = "valid, status, user_name, opened_at, last_activity, expires_at, \
    (extract(epoch FROM expires_in) * 1000000)::bigint AS expires_in, warn";

#[track_caller]
fn verdict_of(client: &mut Client, call: &str, params: &[&(dyn ToSql + Sync)]) -> Verdict {
    let sql = format!("SELECT {VERDICT} FROM session_timeout.{call}");
    match client.query_one(&sql, params) {
        Ok(row) => Verdict::of(&row),
        Err(error) => panic!("{call}: {error:?}"),
    }
}

impl SessionCalls for Client {
    #[track_caller]
    fn run(&mut self, sql: &str) {
        if let Err(error) = self.batch_execute(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    #[track_caller]
    fn value<T: FromSqlOwned>(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> T {
        match self.query_one(sql, params) {
            Ok(row) => row.get(0),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    #[track_caller]
    fn write(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> u64 {
        match self.execute(sql, params) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    #[track_caller]
    fn open(&mut self, sid: &str) {
        self.write("SELECT session_timeout.open_session($1)", &[&sid]);
    }

    #[track_caller]
    fn open_as(&mut self, sid: &str, user_name: &str) {
        self.write("SELECT session_timeout.open_session($1, $2)", &[&sid, &user_name]);
    }

    #[track_caller]
    fn open_limited(&mut self, sid: &str, idle_delay: Option<&str>, absolute_delay: Option<&str>) {
        self.write(
            "SELECT session_timeout.open_session($1, NULL, $2::text::interval, $3::text::interval)",
            &[&sid, &idle_delay, &absolute_delay],
        );
    }

    #[track_caller]
    fn check(&mut self, sid: &str) -> bool {
        self.value("SELECT session_timeout.check_session($1)", &[&sid])
    }

    #[track_caller]
    fn check_url(&mut self, sid: &str, url: &str) -> bool {
        self.value("SELECT session_timeout.check_session($1, $2)", &[&sid, &url])
    }

    #[track_caller]
    fn verdict(&mut self, sid: &str) -> Verdict {
        verdict_of(self, "session_verdict($1)", &[&sid])
    }

    #[track_caller]
    fn verdict_url(&mut self, sid: &str, url: &str) -> Verdict {
        verdict_of(self, "session_verdict($1, $2)", &[&sid, &url])
    }

    #[track_caller]
    fn peek(&mut self, sid: &str) -> Verdict {
        verdict_of(self, "peek_session($1)", &[&sid])
    }

    #[track_caller]
    fn close_sid(&mut self, sid: &str) -> bool {
        self.value("SELECT session_timeout.close_session($1)", &[&sid])
    }

    #[track_caller]
    fn close_user(&mut self, user_name: &str) -> i64 {
        self.value("SELECT session_timeout.close_user_sessions($1)", &[&user_name])
    }

    #[track_caller]
    fn rotate(&mut self, old: &str, new: &str) -> bool {
        self.value("SELECT session_timeout.rotate_session($1, $2)", &[&old, &new])
    }

    #[track_caller]
    fn purge(&mut self) -> i64 {
        self.value("SELECT session_timeout.purge_sessions()", &[])
    }

    #[track_caller]
    fn set_param(&mut self, key: &str, value: Option<&str>) -> Option<String> {
        self.value("SELECT session_timeout.set_param($1, $2)", &[&key, &value])
    }

    #[track_caller]
    fn has_been_idle(&mut self, sid: &str, interval: &str) {
        let moved = self.write(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - $2::text::interval \
             WHERE digest = session_timeout.session_digest($1)",
            &[&sid, &interval],
        );
        assert_eq!(moved, 1, "the session has a row");
    }

    #[track_caller]
    fn was_opened_ago(&mut self, sid: &str, interval: &str) {
        let moved = self.write(
            "UPDATE session_timeout.session SET opened_at = clock_timestamp() - $2::text::interval \
             WHERE digest = session_timeout.session_digest($1)",
            &[&sid, &interval],
        );
        assert_eq!(moved, 1, "the session has a row");
    }

    #[track_caller]
    fn stored(&mut self, sid: &str) -> Option<Stored> {
        let row = self
            .query_opt(
                "SELECT user_name, opened_at, last_activity, idle_delay::text, absolute_delay::text, version, \
                        ctid::text || ' ' || xmin::text AS written \
                 FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)",
                &[&sid],
            )
            .unwrap_or_else(|error| panic!("the session's row: {error:?}"))?;
        Some(Stored {
            user_name: row.get("user_name"),
            opened_at: row.get("opened_at"),
            last_activity: row.get("last_activity"),
            idle_delay: row.get("idle_delay"),
            absolute_delay: row.get("absolute_delay"),
            version: row.get("version"),
            written: row.get("written"),
        })
    }

    #[track_caller]
    fn events(&mut self, sid: &str) -> Vec<Event> {
        let rows = self
            .query(
                "SELECT id, at, user_name, kind, last_activity FROM session_timeout.session_event \
                 WHERE digest = session_timeout.session_digest($1) ORDER BY id",
                &[&sid],
            )
            .unwrap_or_else(|error| panic!("the session's events: {error:?}"));
        let event = |row: &Row| Event {
            id: row.get("id"),
            at: row.get("at"),
            user_name: row.get("user_name"),
            kind: row.get("kind"),
            last_activity: row.get("last_activity"),
        };
        rows.iter().map(event).collect()
    }

    #[track_caller]
    fn event_kinds(&mut self, sid: &str) -> Vec<String> {
        self.events(sid).into_iter().map(|event| event.kind).collect()
    }
}

/// Holds where `actual` is `expected` as far as a slow machine lets it: up to half a minute less.
#[track_caller]
pub fn assert_about(actual: Option<TimeDelta>, expected: TimeDelta) {
    let actual = actual.expect("a span of time");
    assert!(
        actual <= expected && actual > expected - TimeDelta::seconds(30),
        "{actual} is not about {expected}"
    );
}

/// Holds where `time` is now, as far as a slow machine lets it.
#[track_caller]
pub fn assert_just_now(time: Option<DateTime<Utc>>) {
    let ago = Utc::now() - time.expect("a time");
    assert!(
        ago.abs() < TimeDelta::seconds(30),
        "{time:?} is not now, but {ago} before"
    );
}

/// The SHA-256 digest of a session id, in hexadecimal.
pub fn hex_digest(sid: &str) -> String {
    use sha2::{Digest, Sha256};
    let bytes = Sha256::digest(sid.as_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
