//! The end of a round: nobody is at work, expired sessions are ended by the worker, and rows and events are what they
//! must be.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use session_timeout_tests::param;
use session_timeout_tests::postgres::{Client, SimpleQueryMessage};

use super::answer::sid_of;
use super::clocks::Clocks;
use super::connection::lock;
use super::events::{Ended, agree};
use super::op::ALL_SIDS;
use super::run::{Run, Slot, connect, run};
use super::state::{Model, State};
use super::time::{Span, now};
use super::transaction::{Isolation, Transaction};

/// How long the worker may take to end what has expired, on a machine that has other work.
const DEADLINE: Duration = Duration::from_secs(90);

impl Run<'_> {
    /// Compares each database with its model, and begins the model's next part.
    pub fn settle(&self) {
        for database in &self.databases {
            let mut client = connect(self.server, &database.name);
            let set = format!("SELECT session_timeout.set_param('{}', '1')", param::PURGE_INTERVAL);
            run(&mut client, &set);
            self.expired_rows_go(database, &mut client);
            self.compare(database, &mut client);
        }
    }

    /// What is past a limit now has no row soon.
    fn expired_rows_go(&self, database: &Slot, client: &mut Client) {
        let expired: Vec<usize> = {
            let model = database.model();
            let model = lock(&model);
            (0..ALL_SIDS).filter(|&sid| model.must_go(sid)).collect()
        };
        let deadline = Instant::now() + DEADLINE;
        loop {
            let rows = rows(client);
            let left: Vec<usize> = expired.iter().copied().filter(|sid| rows.contains(sid)).collect();
            if left.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                let model = database.model();
                let history = lock(&model).records.about(left[0], true);
                self.disagree(&format!("past a limit, and their rows stay: {left:?}\n{history}"));
                return;
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Rows and events, as they are at one moment, and then no more events of before it.
    fn compare(&self, database: &Slot, client: &mut Client) {
        let from = now();
        let messages = client
            .simple_query(
                "BEGIN; \
                 LOCK TABLE session_timeout.session, session_timeout.session_event IN ACCESS EXCLUSIVE MODE; \
                 SELECT encode(digest, 'hex'), NULL FROM session_timeout.session; \
                 SELECT encode(digest, 'hex'), kind, at, user_name, last_activity \
                 FROM session_timeout.session_event ORDER BY id; \
                 TRUNCATE session_timeout.session_event; \
                 COMMIT",
            )
            .expect("rows and events");
        let span = Span::new(from, now());
        let mut rows = BTreeSet::new();
        let mut events: Vec<Vec<String>> = vec![Vec::new(); ALL_SIDS];
        let mut details: Vec<String> = vec![String::new(); ALL_SIDS];
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                let sid = sid_of(row.get(0).expect("a digest"));
                match row.get(1) {
                    None => drop(rows.insert(sid)),
                    Some(kind) => {
                        events[sid].push(kind.to_owned());
                        let fields: Vec<&str> = (1..5).map(|n| row.get(n).unwrap_or("NULL")).collect();
                        details[sid] += &format!("  {}\n", fields.join(", "));
                    }
                }
            }
        }
        let model = database.model();
        let mut model = lock(&model);
        let mut wrong = Vec::new();
        for (sid, events) in events.iter().enumerate() {
            if let Err(what) = model.compare(sid, rows.contains(&sid), events, span) {
                wrong.push(format!("{what}\n{}{}", details[sid], model.records.about(sid, true)));
            }
        }
        model.restart_from(&rows);
        drop(model);
        for what in wrong.iter().take(3) {
            self.disagree(what);
        }
    }
}

fn rows(client: &mut Client) -> BTreeSet<usize> {
    let sql = "SELECT encode(digest, 'hex') FROM session_timeout.session";
    let rows = client.query(sql, &[]).expect("the rows");
    rows.iter().map(|row| sid_of(row.get(0))).collect()
}

impl Model {
    /// Whether what is under a sid is past a limit for certain, so that its row must go.
    fn must_go(&self, sid: usize) -> bool {
        let (transaction, span) = nobody();
        let view = self.view(&transaction, span);
        let seen = self.seen(&transaction, sid, span);
        seen.iter().all(|(_, state)| match state {
            State::Open(session) => self.must_be_expired(session, &view),
            State::Absent(_) => true,
            State::Anything => false,
        })
    }

    /// Compares a sid's row and events with what they must be.
    fn compare(&mut self, sid: usize, row: bool, events: &[String], span: Span) -> Result<(), String> {
        let transaction = Transaction::new(0, Isolation::ReadCommitted, span.from);
        let view = self.view(&transaction, span);
        let seen = self.seen(&transaction, sid, span);
        let mut ended = self.sids[sid].ended.clone();
        let fits = seen.iter().any(|(_, state)| match state {
            State::Anything => true,
            State::Absent(_) => !row,
            State::Open(session) => row || self.may_be_expired(session, &view),
        });
        if !fits {
            return Err(format!("sid-{sid} has a row: {row}, where the model has {seen:?}"));
        }
        if let (false, [(_, State::Open(session))]) = (row, &seen[..]) {
            ended.push(Ended {
                closed: false,
                revoked: false,
                expired: true,
                must: true,
                order: u64::MAX,
                clocks: session.clocks,
            });
        }
        ended.sort_by_key(|ended| ended.order);
        if !self.sids[sid].unclear && seen.len() == 1 && !agree(&ended, events) {
            return Err(format!(
                "sid-{sid} has the events {events:?}, where these logins ended: {ended:?}"
            ));
        }
        Ok(())
    }

    /// Forgets what came before, now that it has been compared.
    fn restart_from(&mut self, rows: &BTreeSet<usize>) {
        for (sid, known) in self.sids.iter_mut().enumerate() {
            known.ended.clear();
            known.unclear = false;
            known.history.forget_past();
            if !rows.contains(&sid) {
                known.history.reset(State::Absent(None));
            } else if known.history.locked().count() > 1 {
                known.history.reset(State::Anything);
            }
        }
        self.delay.forget_past();
        self.absolute.forget_past();
        self.skip.forget_past();
        self.forget_clocks();
    }

    /// Forgets the clocks of logins that are over, and numbers the others again.
    fn forget_clocks(&mut self) {
        let mut old: Vec<Option<Clocks>> = std::mem::take(&mut self.clocks).into_iter().map(Some).collect();
        for sid in &mut self.sids {
            for state in sid.history.values_mut() {
                match state {
                    // Each is under one sid at most, now that nobody is at work.
                    State::Open(session) => match old[session.clocks].take() {
                        Some(clocks) => {
                            self.clocks.push(clocks);
                            session.clocks = self.clocks.len() - 1;
                        }
                        None => *state = State::Anything,
                    },
                    State::Absent(before) => *before = None,
                    State::Anything => {}
                }
            }
        }
    }
}

fn nobody() -> (Transaction, Span) {
    let now = now();
    (Transaction::new(0, Isolation::ReadCommitted, now), Span::at(now))
}
