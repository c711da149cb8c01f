//! What a connection does: chosen at random, by the weights of the round's theme, and put together from blocks that can
//! stand inside each other.

use super::connection::{Connection, Over};
use super::op::{ALL_SIDS, Activity, Op, Request, Rows, SIDS, Setting};
use super::time::SECOND;
use super::transaction::Isolation;

/// Savepoints stand inside each other this deep at most.
const DEPTH: usize = 3;

impl Connection<'_> {
    /// One unit of work, from which everything is rolled back or committed.
    pub fn unit(&mut self) {
        let units = self.run.theme().units;
        // Over: the transaction is, and the next unit starts.
        let _: Result<(), Over> = match self.rng.weighted(&units) {
            0 => self.look(),
            1 => self.request(),
            2 => self.change(),
            3 => self.parameter(),
            4 => self.passed_limit(),
            5 => self.new_extension(),
            _ => self.many(),
        };
        // Where a unit ended early, its transaction may still be open.
        let _: Result<(), Over> = self.rollback();
    }

    fn look(&mut self) -> Result<(), Over> {
        let sid = self.any_sid();
        let op = self.a_look(sid);
        self.run(&op)
    }

    /// The transaction of a request that takes its time.
    fn request(&mut self) -> Result<(), Over> {
        let waiting = self.run.theme().waiting;
        if self.rng.percent(waiting) {
            return self.waiting_request();
        }
        let isolation = self.any_isolation();
        self.begin(isolation);
        for _ in 0..=self.rng.below(4) {
            self.look()?;
            if self.rng.percent(30) {
                let time = self.rng.pick(&[5_000, 50_000, 200_000, 600_000]);
                self.run(&Op::Pause(time))?;
            }
        }
        self.finish(80)
    }

    /// A transaction that began before a new extension, perhaps, and then looks at sessions of it: at first by what its
    /// process knows of the old one.
    fn waiting_request(&mut self) -> Result<(), Over> {
        let isolation = self.any_isolation();
        self.begin(isolation);
        let sid = self.new_sid();
        self.run(&Op::Check(sid, Request::Counts))?;
        self.run(&Op::Pause(600_000))?;
        for _ in 0..3 {
            let sid = self.new_sid();
            self.run(&Op::Check(sid, Request::Counts))?;
        }
        self.finish(80)
    }

    /// A transaction that changes something.
    fn change(&mut self) -> Result<(), Over> {
        let isolation = self.any_isolation();
        self.begin(isolation);
        let block = self.block(0);
        if block.is_err() && !self.has_failed() {
            return block;
        }
        self.finish(80)
    }

    /// Statements, some of them behind savepoints.
    fn block(&mut self, depth: usize) -> Result<(), Over> {
        for _ in 0..=self.rng.weighted(&[50, 30, 12, 8]) {
            if depth < DEPTH && self.rng.percent(20) {
                self.savepoint()?;
                let block = self.block(depth + 1);
                self.end_savepoint(block, 50)?;
            } else {
                let op = self.any_op();
                self.run(&op)?;
            }
        }
        Ok(())
    }

    /// Ends a block behind a savepoint: rolled back so often, and always where it failed.
    fn end_savepoint(&mut self, block: Result<(), Over>, rolled_back: u32) -> Result<(), Over> {
        if block.is_err() && !self.has_failed() {
            return block;
        }
        if self.has_failed() || self.rng.percent(rolled_back) {
            self.rollback_to()
        } else {
            self.release()
        }
    }

    /// Ends the transaction: committed so often.
    fn finish(&mut self, committed: u32) -> Result<(), Over> {
        if self.rng.percent(committed) {
            self.commit()
        } else {
            self.rollback()
        }
    }

    fn parameter(&mut self) -> Result<(), Over> {
        self.begin(Isolation::ReadCommitted);
        let op = self.a_parameter();
        self.run(&op)?;
        self.finish(90)
    }

    /// A session past a limit, somebody who finds that or not, and a limit that is raised.
    fn passed_limit(&mut self) -> Result<(), Over> {
        let sid = self.cold_sid();
        if self.rng.percent(80) {
            self.begin(Isolation::ReadCommitted);
            if self.rng.percent(60) {
                let op = self.a_login(sid);
                self.run(&op)?;
            }
            let ago = self.rng.pick(&[2 * SECOND, 4 * SECOND, 10 * SECOND, 3600 * SECOND]);
            self.run(&Op::SetActivity(sid, Activity::Ago(ago)))?;
            self.commit()?;
        }
        let isolation = self.any_isolation();
        self.begin(isolation);
        let behind_savepoint = self.rng.percent(30);
        if behind_savepoint {
            self.savepoint()?;
        }
        let finder = self.a_finder(sid);
        let found = self.run(&finder);
        if behind_savepoint {
            self.end_savepoint(found, 70)?;
        } else {
            found?;
        }
        self.finish(35)?;
        if self.rng.percent(60) {
            self.begin(Isolation::ReadCommitted);
            let delay = self.rng.pick(&[Some(30 * SECOND), Some(7200 * SECOND), None]);
            self.set(Setting::Delay(delay))?;
            self.commit()?;
        }
        let look = self.a_look(sid);
        self.run(&look)?;
        if self.rng.percent(50) {
            self.begin(Isolation::ReadCommitted);
            let delay = self.any_delay();
            self.set(Setting::Delay(delay))?;
            self.commit()?;
        }
        Ok(())
    }

    /// The extension dropped and created, with sessions and parameters of the new one, perhaps behind a savepoint that is
    /// rolled back, perhaps after the sessions of the old one were deleted.
    fn new_extension(&mut self) -> Result<(), Over> {
        if self.rng.percent(60) {
            self.begin(Isolation::ReadCommitted);
            self.run(&Op::OpenMany)?;
            self.commit()?;
            self.look_at_many()?;
        }
        self.begin(Isolation::ReadCommitted);
        if self.rng.percent(60) {
            let op = if self.rng.percent(80) {
                Op::Delete(Rows::All)
            } else {
                Op::Truncate
            };
            self.run(&op)?;
        }
        let behind_savepoint = self.rng.percent(60);
        if behind_savepoint {
            self.savepoint()?;
        }
        let made = self.recreate();
        if behind_savepoint {
            self.end_savepoint(made, 70)?;
        } else {
            made?;
        }
        self.finish(85)?;
        self.look_at_many()
    }

    fn recreate(&mut self) -> Result<(), Over> {
        self.run(&Op::DropExtension)?;
        self.run(&Op::CreateExtension)?;
        if self.rng.percent(70) {
            let delay = self.rng.pick(&[Some(SECOND / 2), Some(SECOND), Some(3 * SECOND)]);
            self.set(Setting::Delay(delay))?;
        }
        for _ in 0..self.rng.below(6) {
            let sid = self.new_sid();
            let op = self.a_login(sid);
            self.run(&op)?;
            if self.rng.percent(60) {
                self.run(&Op::SetActivity(sid, Activity::Ago(20 * SECOND)))?;
            }
        }
        Ok(())
    }

    /// Many sessions opened at once, or looked at.
    fn many(&mut self) -> Result<(), Over> {
        if self.rng.percent(25) {
            let isolation = self.any_isolation();
            self.begin(isolation);
            self.run(&Op::OpenMany)?;
            self.finish(80)?;
        }
        self.look_at_many()
    }

    fn look_at_many(&mut self) -> Result<(), Over> {
        let sids = (0..20).map(|_| SIDS + self.rng.below(ALL_SIDS - SIDS)).collect();
        let request = self.rng.pick(&[Request::Counts, Request::Ignored]);
        self.run(&Op::CheckMany(sids, request))
    }

    fn set(&mut self, setting: Setting) -> Result<(), Over> {
        let by_hand = self.rng.percent(40);
        self.run(&Op::Set { setting, by_hand })
    }
}
