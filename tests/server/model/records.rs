//! What was done, for whoever has to find out why an answer was wrong.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use super::op::{Names, sid_name};
use super::time::{Micros, SECOND, Span};

/// How many statements are kept.
const KEPT: usize = 60_000;
/// How many are shown.
const SHOWN: usize = 200;
/// How many, of something that concerns all.
const NEWEST: usize = 500;

/// A statement.
#[derive(Debug, Clone)]
pub struct Record {
    pub connection: usize,
    pub transaction: u64,
    pub span: Span,
    pub text: String,
    pub answer: String,
    pub names: Names,
    /// It can change nothing that others see.
    pub look: bool,
}

impl Record {
    /// What only moves its transaction along.
    pub fn moving(connection: usize, transaction: u64, span: Span, text: &str, answer: String) -> Self {
        Self {
            connection,
            transaction,
            span,
            text: text.to_owned(),
            answer,
            names: Names::Some(Vec::new()),
            look: true,
        }
    }

    /// Whether it only moves its transaction along.
    fn moves(&self) -> bool {
        matches!(&self.names, Names::Some(names) if names.is_empty())
    }
}

/// The statements of all connections to one database, in the order of their answers.
pub struct Records {
    database: String,
    begun: Option<Micros>,
    records: VecDeque<Record>,
}

impl Records {
    pub fn new(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            begun: None,
            records: VecDeque::new(),
        }
    }

    pub fn add(&mut self, record: Record) {
        self.begun.get_or_insert(record.span.from);
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The newest of those that had to do with a sid, and what moved their transactions along: looks and changes of
    /// parameters, too, or only what can have opened or ended it.
    pub fn about(&self, sid: usize, looks: bool) -> String {
        let concerned = |record: &Record| match &record.names {
            Names::Parameters => looks,
            names => names.contains(sid) && (looks || !record.look),
        };
        let transactions: BTreeSet<(usize, u64)> = self
            .records
            .iter()
            .filter(|record| concerned(record))
            .map(|record| (record.connection, record.transaction))
            .collect();
        let is_shown = |record: &&Record| {
            concerned(record) || (record.moves() && transactions.contains(&(record.connection, record.transaction)))
        };
        let shown: Vec<&Record> = self.records.iter().rev().filter(is_shown).take(SHOWN).collect();
        self.show(&format!("what was done to {}", sid_name(sid)), &shown)
    }

    /// The newest of all.
    pub fn newest(&self) -> String {
        let shown: Vec<&Record> = self.records.iter().rev().take(NEWEST).collect();
        self.show("what was done last", &shown)
    }

    fn show(&self, what: &str, newest_first: &[&Record]) -> String {
        let begun = self.begun.unwrap_or(0);
        let seconds = |time: Micros| (time - begun) as f64 / SECOND as f64;
        let mut text = format!(
            "{what} in database {} (begin and end in seconds since {begun} µs; connection; transaction):\n",
            self.database
        );
        for record in newest_first.iter().rev() {
            let _ = writeln!(
                text,
                "  {:.6} {:.6}  c{} t{}  {}  ->  {}",
                seconds(record.span.from),
                seconds(record.span.to),
                record.connection,
                record.transaction,
                record.text,
                record.answer
            );
        }
        text
    }
}
