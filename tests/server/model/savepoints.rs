//! A connection's COMMIT, ROLLBACK and savepoints.

use session_timeout_tests::postgres::Error;

use super::commit::CommitEnd;
use super::connection::{Connection, Over, lock, outcome_of};
use super::errors::commit_may_fail;
use super::records::Record;
use super::time::{Span, now};

impl Connection<'_> {
    /// Ends the transaction as it should, or with a rollback where it has failed.
    pub fn commit(&mut self) -> Result<(), Over> {
        if self.failed {
            return self.rollback();
        }
        if !std::mem::take(&mut self.open) || std::mem::take(&mut self.unsent_begin) {
            return Ok(());
        }
        let mut model = lock(&self.model);
        let from = now();
        model.commit_sent(&mut self.transaction, from);
        drop(model);
        let result = self.send("COMMIT");
        let lost = self.is_lost(&result);
        let (end, text) = match &result {
            Ok(_) => (CommitEnd::Committed, "committed".to_owned()),
            Err(error) if lost => (CommitEnd::Lost, format!("lost: {error}")),
            Err(error) => (CommitEnd::Refused, outcome_of(error, false).to_string()),
        };
        let mut model = lock(&self.model);
        let span = Span::new(from, now());
        let transaction = &mut self.transaction;
        model.commit_ended(transaction, span, end);
        model
            .records
            .add(Record::moving(self.number, transaction.number, span, "COMMIT", text));
        let begun = self.transaction.begun;
        let locked_out = model.ddl.since(begun) || model.exclusive.since(begun);
        drop(model);
        if end == CommitEnd::Refused
            && let Err(error) = &result
            && !error
                .as_db_error()
                .is_some_and(|error| commit_may_fail(&self.transaction, error.code().code(), locked_out))
        {
            self.run.disagree(&format!(
                "connection {}, transaction {}: COMMIT failed: {error:?}",
                self.number, self.transaction.number
            ));
        }
        if lost {
            self.client = None;
            return Err(Over);
        }
        Ok(())
    }

    /// Rolls the transaction back.
    pub fn rollback(&mut self) -> Result<(), Over> {
        if !self.open || std::mem::take(&mut self.unsent_begin) {
            self.open = false;
            return Ok(());
        }
        self.control("ROLLBACK")?;
        self.open = false;
        self.failed = false;
        lock(&self.model).rolled_back(&mut self.transaction, now(), false);
        Ok(())
    }

    /// Sets a savepoint.
    pub fn savepoint(&mut self) -> Result<(), Over> {
        if std::mem::take(&mut self.unsent_begin) {
            self.control(&format!("BEGIN ISOLATION LEVEL {}", self.transaction.isolation.sql()))?;
        }
        self.control("SAVEPOINT s")?;
        self.transaction.savepoint();
        Ok(())
    }

    /// Goes back to the newest savepoint, and forgets it.
    pub fn rollback_to(&mut self) -> Result<(), Over> {
        self.control("ROLLBACK TO SAVEPOINT s; RELEASE SAVEPOINT s")?;
        self.transaction.rollback_to();
        self.transaction.release();
        self.failed = false;
        Ok(())
    }

    /// Forgets the newest savepoint.
    pub fn release(&mut self) -> Result<(), Over> {
        self.control("RELEASE SAVEPOINT s")?;
        self.transaction.release();
        Ok(())
    }

    /// Runs what only moves the transaction along.
    fn control(&mut self, sql: &str) -> Result<(), Over> {
        self.connect()?;
        let from = now();
        let result = self.send(sql);
        let lost = self.is_lost(&result);
        let text = result.as_ref().map_or_else(Error::to_string, |_| "done".to_owned());
        let mut model = lock(&self.model);
        let span = Span::new(from, now());
        model
            .records
            .add(Record::moving(self.number, self.transaction.number, span, sql, text));
        drop(model);
        match result {
            Ok(_) => Ok(()),
            Err(_) if lost => {
                self.lose();
                Err(Over)
            }
            Err(error) => {
                self.run
                    .disagree(&format!("connection {}: {sql} failed: {error:?}", self.number));
                self.lose();
                Err(Over)
            }
        }
    }
}
