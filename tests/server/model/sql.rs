//! Statements as SQL. Sids stand in it as they are: no session here is worth a secret.

use session_timeout_tests::param;

use super::op::{ALL_SIDS, Activity, BULK_USER, Op, Request, Rows, SIDS, Setting, sid_name, user_name};
use super::time::{Limit, Micros, SECOND};

const PURGE: &str = "SELECT session_timeout.purge_sessions()";
const ROWS: &str = "SELECT encode(digest, 'hex') FROM session_timeout.session";
const CLOCKS: &str =
    "(extract(epoch FROM opened_at) * 1000000)::bigint, (extract(epoch FROM last_activity) * 1000000)::bigint";

impl Op {
    /// Its text for readers: without what is the same in all such statements.
    pub fn text(&self) -> String {
        let sql = self.sql();
        let text = match self {
            Self::Verdict(..) | Self::Peek(_) => sql.split(" FROM ").last().unwrap_or(&sql).to_owned(),
            _ => sql.replace("session_timeout.", "").replace(CLOCKS, "…"),
        };
        text.replace("session_timeout.", "").replace("SELECT ", "")
    }

    /// Its text.
    pub fn sql(&self) -> String {
        match self {
            Self::Check(sid, request) => format!(
                "SELECT session_timeout.check_session('{}'{})",
                sid_name(*sid),
                url(*request)
            ),
            Self::Verdict(sid, request) => verdict(&format!("session_verdict('{}'{})", sid_name(*sid), url(*request))),
            Self::Peek(sid) => verdict(&format!("peek_session('{}')", sid_name(*sid))),
            Self::CheckMany(sids, request) => {
                let sids: Vec<String> = sids.iter().map(usize::to_string).collect();
                format!(
                    "SELECT n, session_timeout.check_session('sid-' || n{}) FROM unnest(ARRAY[{}]) AS n",
                    url(*request),
                    sids.join(",")
                )
            }
            Self::Open {
                sid,
                user,
                idle,
                absolute,
            } => format!(
                "SELECT session_timeout.open_session('{}', {}, {}, {})",
                sid_name(*sid),
                user_literal(*user),
                interval(*idle),
                interval(*absolute)
            ),
            Self::OpenMany => format!(
                "SELECT count(session_timeout.open_session('sid-' || n, '{}')) FROM generate_series({SIDS}, {}) AS n",
                user_name(BULK_USER),
                ALL_SIDS - 1
            ),
            Self::Close(sid) => format!("SELECT session_timeout.close_session('{}')", sid_name(*sid)),
            Self::CloseUser { user, except } => {
                let except = except.map_or("NULL".to_owned(), |sid| format!("'{}'", sid_name(sid)));
                format!(
                    "SELECT session_timeout.close_user_sessions('{}', {except})",
                    user_name(*user)
                )
            }
            Self::Rotate { old, new } => format!(
                "SELECT session_timeout.rotate_session('{}', '{}')",
                sid_name(*old),
                sid_name(*new)
            ),
            Self::Purge { look: false } => PURGE.to_owned(),
            Self::Purge { look: true } => format!("{ROWS}; {PURGE}; {ROWS}"),
            Self::Flush => "SELECT session_timeout.flush_sessions()".to_owned(),
            Self::Insert {
                sid,
                user,
                idle,
                absolute,
            } => format!(
                "INSERT INTO session_timeout.session (digest, user_name, idle_delay, absolute_delay) \
                 VALUES (session_timeout.session_digest('{}'), {}, {}, {}) ON CONFLICT DO NOTHING RETURNING {CLOCKS}",
                sid_name(*sid),
                user_literal(*user),
                interval(*idle),
                interval(*absolute)
            ),
            Self::SetActivity(sid, activity) => {
                let activity = match activity {
                    Activity::Ago(time) => format!("clock_timestamp() - {}", interval(Some(*time))),
                    Activity::Ahead(time) => format!("clock_timestamp() + {}", interval(Some(*time))),
                    Activity::Unchanged => "last_activity".to_owned(),
                    Activity::Login => "opened_at".to_owned(),
                };
                update(*sid, &format!("last_activity = {activity}"))
            }
            Self::SetLimits { sid, idle, absolute } => update(
                *sid,
                &format!(
                    "idle_delay = {}, absolute_delay = {}",
                    interval(*idle),
                    interval(*absolute)
                ),
            ),
            Self::Delete(rows) => {
                let which = match rows {
                    Rows::Of(sid) => format!(" WHERE digest = session_timeout.session_digest('{}')", sid_name(*sid)),
                    Rows::OfUser(user) => format!(" WHERE user_name = '{}'", user_name(*user)),
                    Rows::All => String::new(),
                };
                format!("DELETE FROM session_timeout.session{which} RETURNING encode(digest, 'hex')")
            }
            Self::Truncate => "TRUNCATE session_timeout.session".to_owned(),
            Self::Set { setting, by_hand } => {
                let (key, value) = setting.row();
                if *by_hand {
                    format!(
                        "UPDATE session_timeout.config_parameter SET value = '{value}' WHERE key = '{key}' RETURNING 1"
                    )
                } else {
                    format!("SELECT session_timeout.set_param('{key}', '{value}')")
                }
            }
            Self::DropExtension => "DROP EXTENSION inactive_session_timeout".to_owned(),
            Self::CreateExtension => "CREATE EXTENSION inactive_session_timeout".to_owned(),
            Self::Pause(time) => format!("SELECT pg_sleep({})", *time as f64 / SECOND as f64),
        }
    }
}

impl Setting {
    /// Key and value, as text.
    pub fn row(self) -> (&'static str, String) {
        let seconds = |time: Micros| (time as f64 / SECOND as f64).to_string();
        match self {
            Self::Delay(limit) => (param::DELAY, seconds(limit.unwrap_or(0))),
            Self::AbsoluteDelay(limit) => (param::ABSOLUTE_DELAY, seconds(limit.unwrap_or(0))),
            Self::SkipCheck(true) => (param::IGNORED_URL_MODE, "skip_check".to_owned()),
            Self::SkipCheck(false) => (param::IGNORED_URL_MODE, "no_refresh".to_owned()),
            Self::FlushInterval(time) => (param::FLUSH_INTERVAL, seconds(time)),
            Self::PurgeInterval(time) => (param::PURGE_INTERVAL, seconds(time)),
        }
    }
}

fn update(sid: usize, set: &str) -> String {
    let sid = sid_name(sid);
    format!(
        "UPDATE session_timeout.session SET {set} WHERE digest = session_timeout.session_digest('{sid}') RETURNING {CLOCKS}"
    )
}

fn verdict(call: &str) -> String {
    let micros = |field: &str| format!("(extract(epoch FROM {field}) * 1000000)::bigint");
    format!(
        "SELECT valid, status, user_name, {}, {}, {}, warn FROM session_timeout.{call}",
        micros("opened_at"),
        micros("last_activity"),
        micros("expires_at")
    )
}

fn url(request: Request) -> &'static str {
    match request {
        Request::Counts => ", '/orders'",
        Request::Ignored => ", '/websocket'",
        Request::Look => "",
    }
}

fn user_literal(user: Option<u8>) -> String {
    user.map_or("NULL".to_owned(), |user| format!("'{}'", user_name(user)))
}

fn interval(limit: Limit) -> String {
    limit.map_or("NULL".to_owned(), |time| format!("'{time} microseconds'::interval"))
}
