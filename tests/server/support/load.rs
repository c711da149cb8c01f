//! A load that records each answer, to be compared with the sessions after a crash or a restart.
//!
//! A test that uses it has a short form and, with `SOAK=1` in the environment, a long one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use session_timeout_tests::chrono::{DateTime, Utc};
use session_timeout_tests::postgres::{Client, Config, Error, NoTls};
use session_timeout_tests::{eventually, wait_for};

use super::calls::SessionCalls;
use super::in_flight::SOON;

/// How many: of the short form, or of the long one.
pub fn size(short: usize, soak: usize) -> usize {
    if std::env::var_os("SOAK").is_some_and(|value| value == "1") {
        soak
    } else {
        short
    }
}

/// A time, not long ago, before which all activity is on the rows. Since then flushes have come by one session three
/// times: each goes from session to session until it has been at all, and the next goes on where it ended.
pub fn written_until(client: &mut Client) -> DateTime<Utc> {
    let begun = Utc::now();
    client.open("witness");
    for _ in 0..3 {
        let touched = client.verdict("witness").last_activity.expect("an activity");
        eventually("its activity is written down", SOON, || {
            client.stored("witness").is_some_and(|row| row.last_activity >= touched)
        });
    }
    client.close_sid("witness");
    begun
}

/// What the load was told of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A login was sent, and not answered.
    LoggingIn,
    /// A login with a limit of a second was sent, and not answered.
    LoggingInBriefly,
    /// Its login was answered.
    Open,
    /// A close was sent, and not answered.
    Closing,
    /// Its close was answered.
    Closed,
    /// Open, with a limit of a second.
    Brief,
    /// A check said that it is not valid, as it was past its limit.
    Expired,
}

/// What the load was told of one session.
#[derive(Debug, Clone)]
pub struct Told {
    pub life: Life,
    /// When a request was sent that counted and was answered, in order.
    pub active: Vec<DateTime<Utc>>,
}

/// What the load was told of all its sessions.
#[derive(Debug, Default)]
pub struct Book {
    pub sessions: HashMap<String, Told>,
    /// What should not have been told.
    pub wrong: Vec<String>,
}

impl Book {
    /// How many have this life.
    pub fn count(&self, life: Life) -> usize {
        self.sessions.values().filter(|told| told.life == life).count()
    }
}

/// Connections that open, check and close sessions of their own, until the server leaves them or they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts it, going on with the book. `prefix` begins the session ids of new sessions.
    pub fn start(config: &Config, prefix: &str, connections: usize, book: Book) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let book = Arc::new(Mutex::new(book));
        let one = |n| {
            let user = User {
                prefix: format!("{prefix}-{n}"),
                stop: stop.clone(),
                book: book.clone(),
            };
            let config = config.clone();
            thread::spawn(move || user.work(&config))
        };
        let threads = (0..connections).map(one).collect();
        Self { stop, book, threads }
    }

    /// Waits until the book says so.
    pub fn until(&self, what: &str, condition: impl Fn(&Book) -> bool) {
        wait_for(what, SOON, || {
            condition(&self.book.lock().expect("the book")).then_some(())
        });
    }

    /// Waits for the end of all connections, telling them to stop only where `stop`: the book.
    pub fn end(self, stop: bool) -> Book {
        self.stop.store(stop, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a connection of the load");
        }
        std::mem::take(&mut *self.book.lock().expect("the book"))
    }
}

/// One connection of the load.
struct User {
    prefix: String,
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
}

impl User {
    fn work(&self, config: &Config) {
        let Ok(mut client) = config.connect(NoTls) else { return };
        if let Err(error) = self.requests(&mut client)
            && !is_server_gone(&error)
        {
            self.note(|book| book.wrong.push(format!("{error:?}")));
        }
    }

    fn requests(&self, client: &mut Client) -> Result<(), Error> {
        let open = client.prepare("SELECT session_timeout.open_session($1, 'load')")?;
        let open_briefly = client.prepare("SELECT session_timeout.open_session($1, 'load', '1 second')")?;
        let check = client.prepare("SELECT session_timeout.check_session($1)")?;
        let close = client.prepare("SELECT session_timeout.close_session($1)")?;
        let mut brief: Vec<(String, Instant)> = Vec::new();
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let sid = format!("{}-{n}", self.prefix);
            let is_brief = n % 5 == 4;
            self.is(
                &sid,
                if is_brief {
                    Life::LoggingInBriefly
                } else {
                    Life::LoggingIn
                },
            );
            let sent = Utc::now();
            client.query_one(if is_brief { &open_briefly } else { &open }, &[&sid])?;
            self.is(&sid, if is_brief { Life::Brief } else { Life::Open });
            self.was_active(&sid, sent);
            if is_brief {
                brief.push((sid, Instant::now()));
            } else {
                // This one, and one from a while ago that may have had its last request then.
                for n in [n, n - n % 7, n / 2] {
                    self.check(client, &check, n)?;
                }
            }
            if n % 3 == 2 && !is_brief && n > 20 {
                let sid = format!("{}-{}", self.prefix, n - 20);
                if self.life(&sid) == Some(Life::Open) {
                    self.is(&sid, Life::Closing);
                    let was_open: bool = client.query_one(&close, &[&sid])?.get(0);
                    self.is(&sid, Life::Closed);
                    if !was_open {
                        self.note(|book| book.wrong.push(format!("{sid} was not open when it was closed")));
                    }
                    if client.query_one(&check, &[&sid])?.get(0) {
                        self.note(|book| book.wrong.push(format!("{sid} was valid after its close")));
                    }
                }
            }
            while let Some((sid, opened)) = brief.first()
                && opened.elapsed() > Duration::from_millis(1050)
            {
                if client.query_one(&check, &[sid])?.get(0) {
                    self.note(|book| book.wrong.push(format!("{sid} was valid after its limit")));
                }
                self.is(sid, Life::Expired);
                brief.remove(0);
            }
            // A pace that leaves the machine to the others.
            thread::sleep(Duration::from_millis(4));
        }
        Ok(())
    }

    fn check(
        &self,
        client: &mut Client,
        check: &session_timeout_tests::postgres::Statement,
        n: usize,
    ) -> Result<(), Error> {
        let sid = format!("{}-{n}", self.prefix);
        if self.life(&sid) != Some(Life::Open) {
            return Ok(());
        }
        let sent = Utc::now();
        if client.query_one(check, &[&sid])?.get(0) {
            self.was_active(&sid, sent);
        } else {
            self.note(|book| book.wrong.push(format!("{sid} was open and not valid")));
        }
        Ok(())
    }

    fn note<R>(&self, note: impl FnOnce(&mut Book) -> R) -> R {
        note(&mut self.book.lock().expect("the book"))
    }

    fn is(&self, sid: &str, life: Life) {
        self.note(|book| {
            let told = book.sessions.entry(sid.to_owned());
            told.or_insert(Told {
                life,
                active: Vec::new(),
            })
            .life = life;
        });
    }

    fn life(&self, sid: &str) -> Option<Life> {
        self.note(|book| book.sessions.get(sid).map(|told| told.life))
    }

    fn was_active(&self, sid: &str, at: DateTime<Utc>) {
        self.note(|book| {
            if let Some(told) = book.sessions.get_mut(sid) {
                told.active.push(at);
            }
        });
    }
}

/// Whether the connection was lost with the server, or refused as it goes down.
fn is_server_gone(error: &Error) -> bool {
    error
        .as_db_error()
        .is_none_or(|error| error.code().code().starts_with("57P"))
}

/// Compares the book with what the server says after it has come back. Activity from before `must_be_there` is there.
/// What was in doubt is then what the server says.
#[track_caller]
pub fn assert_kept(client: &mut Client, book: &mut Book, must_be_there: DateTime<Utc>) {
    assert_eq!(book.wrong.first(), None, "of {} such", book.wrong.len());
    let sids: Vec<&String> = book.sessions.keys().collect();
    let rows = client
        .query(
            "WITH events AS MATERIALIZED (SELECT digest, count(*) AS number, min(kind) AS kind \
                                          FROM session_timeout.session_event GROUP BY digest) \
             SELECT s.sid, p.valid, p.last_activity, coalesce(e.number, 0) AS number, e.kind, \
                    EXISTS (SELECT FROM session_timeout.session AS r \
                            WHERE r.digest = session_timeout.session_digest(s.sid)) AS has_row \
             FROM unnest($1::text[]) AS s(sid) \
             LEFT JOIN events AS e ON e.digest = session_timeout.session_digest(s.sid) \
             CROSS JOIN LATERAL session_timeout.peek_session(s.sid) AS p",
            &[&sids],
        )
        .expect("the sessions");
    assert_eq!(rows.len(), book.sessions.len());
    for row in rows {
        let sid: String = row.get("sid");
        let (valid, has_row): (bool, bool) = (row.get("valid"), row.get("has_row"));
        let (events, kind): (i64, Option<String>) = (row.get("number"), row.get("kind"));
        let told = book.sessions.get_mut(&sid).expect("a session of the book");
        let is = format!("{sid} was {told:?}; valid: {valid}, row: {has_row}, events: {events} {kind:?}");
        match told.life {
            Life::Open => {
                assert!(valid && has_row && events == 0, "an open session was lost: {is}");
                let activity: DateTime<Utc> = row.get("last_activity");
                let newest = told.active.iter().rev().find(|at| **at <= must_be_there);
                assert!(
                    newest.is_none_or(|newest| activity >= *newest),
                    "activity of {newest:?}, before {must_be_there}, was lost, {activity} is left: {is}"
                );
                told.active = vec![activity];
            }
            Life::LoggingIn => {
                assert!(valid == has_row && events == 0, "half a login: {is}");
                told.life = if valid { Life::Open } else { Life::LoggingIn };
            }
            Life::LoggingInBriefly => {
                // It may have been opened, and have expired since.
                assert!(events <= i64::from(!has_row), "its event: {is}");
                if has_row || events == 1 {
                    told.life = Life::Brief;
                }
            }
            Life::Closing => {
                assert!(valid == has_row && events == i64::from(!valid), "half a close: {is}");
                told.life = if valid { Life::Open } else { Life::Closed };
                if valid {
                    // What came after the last flush may be lost with the close.
                    told.active = vec![row.get("last_activity")];
                }
            }
            Life::Closed => {
                assert!(!valid && !has_row, "a closed session is back: {is}");
                assert!(events == 1 && kind.as_deref() == Some("closed"), "its event: {is}");
            }
            Life::Brief => assert!(events == i64::from(!has_row), "its event: {is}"),
            Life::Expired => {
                assert!(!valid, "an expired session is back: {is}");
                assert!(events == i64::from(!has_row), "its event: {is}");
            }
        }
    }
    let over = |told: &&Told| matches!(told.life, Life::Closed | Life::Expired);
    let over: Vec<&String> = book
        .sessions
        .iter()
        .filter(|(_, told)| over(told))
        .map(|(sid, _)| sid)
        .collect();
    let valid: i64 = client.value(
        "SELECT count(*) FROM unnest($1::text[]) AS sid WHERE session_timeout.check_session(sid)",
        &[&over],
    );
    assert_eq!(valid, 0, "sessions that were over validate again");
}

/// Waits until every session of the load that is past its limit has no row and one event, and all else is as the book
/// has it.
#[track_caller]
pub fn assert_settles(client: &mut Client, book: &Book) {
    let ended = |told: &&Told| matches!(told.life, Life::Brief | Life::Expired);
    let ended: Vec<&String> = book
        .sessions
        .iter()
        .filter(|(_, told)| ended(told))
        .map(|(sid, _)| sid)
        .collect();
    wait_for("what has expired is gone", SOON, || {
        let left: i64 = client.value(
            "SELECT count(*) FROM session_timeout.session \
             WHERE digest IN (SELECT session_timeout.session_digest(sid) FROM unnest($1::text[]) AS sid)",
            &[&ended],
        );
        (left == 0).then_some(())
    });
    let told: i64 = client.value(
        "SELECT count(*) FROM (SELECT FROM session_timeout.session_event \
         WHERE kind = 'idle_expired' \
           AND digest IN (SELECT session_timeout.session_digest(sid) FROM unnest($1::text[]) AS sid) \
         GROUP BY digest HAVING count(*) = 1) AS once",
        &[&ended],
    );
    assert_eq!(told, ended.len() as i64, "sessions with one event of their expiry");
}
