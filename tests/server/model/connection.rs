//! A connection that works: it sends statements, and tells the model of each before and after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use session_timeout_tests::postgres::{Client, Error, NoTls, SimpleQueryMessage};

use super::answer::read;
use super::op::{Answer, Names, Op, Outcome};
use super::records::Record;
use super::rng::Rng;
use super::run::Run;
use super::state::Model;
use super::time::{Micros, Span, now};
use super::transaction::{Isolation, Transaction};

/// The work of this transaction is over: it failed, its connection is gone, or the run is at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over;

/// A worker, and its connection.
pub struct Connection<'r> {
    pub run: &'r Run<'r>,
    pub number: usize,
    pub rng: Rng,
    database: usize,
    pub(super) client: Option<Client>,
    pub(super) model: Arc<Mutex<Model>>,
    pub(super) transaction: Transaction,
    /// BEGIN goes out with the first statement.
    pub(super) unsent_begin: bool,
    pub(super) open: bool,
    pub(super) failed: bool,
    transactions: u64,
}

impl<'r> Connection<'r> {
    pub fn new(run: &'r Run<'r>, number: usize, rng: Rng) -> Self {
        let database = number % run.databases.len();
        Self {
            run,
            number,
            rng,
            database,
            client: None,
            model: run.databases[database].model(),
            transaction: Transaction::new(0, Isolation::ReadCommitted, 0),
            unsent_begin: false,
            open: false,
            failed: false,
            transactions: 0,
        }
    }

    /// Whether the transaction has failed, and wants a rollback.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    pub fn isolation(&self) -> Isolation {
        self.transaction.isolation
    }

    /// Begins a transaction.
    pub fn begin(&mut self, isolation: Isolation) {
        self.new_transaction(isolation);
        self.open = true;
        self.unsent_begin = true;
    }

    fn new_transaction(&mut self, isolation: Isolation) {
        self.transactions += 1;
        let number = self.transactions * 100 + self.number as u64;
        self.transaction = Transaction::new(number, isolation, now());
        self.failed = false;
    }

    /// Runs a statement, in the transaction or, where there is none, in one of its own.
    pub fn run(&mut self, op: &Op) -> Result<(), Over> {
        self.connect()?;
        if !self.open {
            self.new_transaction(Isolation::ReadCommitted);
        }
        let begin = self.unsent_begin;
        let mut sql = op.sql();
        if std::mem::take(&mut self.unsent_begin) {
            sql = format!("BEGIN ISOLATION LEVEL {}; {sql}", self.transaction.isolation.sql());
        }

        let mut model = lock(&self.model);
        let from = now();
        let number = model.begin(&mut self.transaction, op, from);
        drop(model);
        let result = self.send(&sql);
        let lost = self.is_lost(&result);
        let outcome = match result {
            Ok(messages) => Outcome::Answered(read(op, &messages, usize::from(begin))),
            Err(error) => outcome_of(&error, lost),
        };
        let (judged, failed) = self.take_in(op, number, from, &outcome);
        self.run.count();
        if let Err((sid, wrong)) = judged {
            self.report(op, sid, &outcome, &wrong);
        }
        if lost {
            self.lose();
            return Err(Over);
        }
        if failed {
            if self.open {
                self.failed = true;
            }
            return Err(Over);
        }
        Ok(())
    }

    /// Has the model judge the outcome.
    fn take_in(
        &mut self,
        op: &Op,
        number: u64,
        from: Micros,
        outcome: &Outcome,
    ) -> (Result<(), (Option<usize>, String)>, bool) {
        let mut model = lock(&self.model);
        let span = Span::new(from, now());
        model.end(op, number, span.to);
        let transaction = &mut self.transaction;
        let judged = match outcome {
            Outcome::Answered(answer) => model.answered(transaction, op, span, answer),
            Outcome::Failed { sqlstate, message } => {
                let may = model.may_fail(transaction, op, span, sqlstate, message);
                may.then_some(()).ok_or((None, "this error is not allowed".to_owned()))
            }
            Outcome::Lost(_) => Ok(()),
        };
        let failed = !matches!(outcome, Outcome::Answered(_));
        if failed && let (true, Names::Some(sids)) = (op.is_check(), op.names()) {
            for sid in sids {
                model.may_have_counted(transaction, sid, span);
            }
        }
        model.records.add(Record {
            connection: self.number,
            transaction: transaction.number,
            span,
            text: op.text(),
            answer: outcome.to_string(),
            names: concerned(op, outcome),
            look: op.is_check(),
        });
        if !self.open && failed {
            model.rolled_back(transaction, span.to, true);
        }
        (judged, failed)
    }

    fn report(&mut self, op: &Op, sid: Option<usize>, outcome: &Outcome, wrong: &str) {
        let sids = match (sid, op.names()) {
            (Some(sid), _) => vec![sid],
            (None, Names::Some(sids)) => sids,
            (None, _) => Vec::new(),
        };
        let model = lock(&self.model);
        let history = if sids.is_empty() {
            model.records.newest()
        } else {
            sids.iter().map(|&sid| model.records.about(sid, true)).collect()
        };
        self.run.disagree(&format!(
            "connection {}, transaction {} ({}): {}\n  answered: {outcome}\nwhere the model allows:\n{wrong}\n{history}",
            self.number,
            self.transaction.number,
            self.transaction.isolation.sql(),
            op.text(),
        ));
        drop(model);
        let mut model = lock(&self.model);
        for sid in sids {
            model.give_up(&mut self.transaction, sid);
        }
    }

    /// The connection is gone, and with it the transaction.
    pub(super) fn lose(&mut self) {
        self.client = None;
        if std::mem::take(&mut self.open) {
            lock(&self.model).rolled_back(&mut self.transaction, now(), true);
        }
        self.failed = false;
        self.unsent_begin = false;
    }

    pub(super) fn send(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        self.client.as_mut().expect("it is connected").simple_query(sql)
    }

    pub(super) fn is_lost<T>(&self, result: &Result<T, Error>) -> bool {
        let Err(error) = result else {
            return false;
        };
        let ended = |code: &str| code.starts_with("57P") || code.starts_with("08");
        error.as_db_error().is_none_or(|error| ended(error.code().code()))
            || self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Connects, where it is not. Nobody connects while a database or the server is being replaced.
    pub(super) fn connect(&mut self) -> Result<(), Over> {
        while self.client.is_none() {
            if self.run.is_over() {
                return Err(Over);
            }
            let gate = self.run.gate();
            let database = &self.run.databases[self.database];
            let mut config = self.run.server.config(&database.name);
            config.options("-c statement_timeout=120s -c lock_timeout=3s");
            config.application_name("model");
            match config.connect(NoTls) {
                Ok(client) => {
                    self.client = Some(client);
                    self.model = database.model();
                }
                Err(_) => {
                    drop(gate);
                    sleep(Duration::from_millis(20));
                }
            }
        }
        Ok(())
    }
}

/// The sids whose histories this stands in.
fn concerned(op: &Op, outcome: &Outcome) -> Names {
    match (op, outcome) {
        (_, Outcome::Answered(Answer::Deleted(sids) | Answer::Purged { gone: Some(sids), .. })) => {
            Names::Some(sids.clone())
        }
        (Op::Flush, _) => Names::Some(Vec::new()),
        _ => op.names(),
    }
}

pub(super) fn outcome_of(error: &Error, lost: bool) -> Outcome {
    match error.as_db_error() {
        Some(error) if !lost => Outcome::Failed {
            sqlstate: error.code().code().to_owned(),
            message: [error.message(), error.detail().unwrap_or_default()].join(" "),
        },
        _ => Outcome::Lost(error.to_string()),
    }
}

/// Whoever panicked while holding it has been reported.
pub fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}
