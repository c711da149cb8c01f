//! Single statements, chosen at random.

use super::connection::Connection;
use super::op::{ALL_SIDS, Activity, Op, Request, Rows, SIDS, Setting, USERS};
use super::time::{Limit, Micros, SECOND};
use super::transaction::Isolation;

impl Connection<'_> {
    pub(super) fn a_look(&mut self, sid: usize) -> Op {
        let request = if self.rng.percent(25) {
            Request::Ignored
        } else {
            Request::Counts
        };
        match self.rng.weighted(&[50, 35, 15]) {
            0 => Op::Check(sid, request),
            1 => Op::Verdict(sid, request),
            _ => Op::Peek(sid),
        }
    }

    pub(super) fn a_finder(&mut self, sid: usize) -> Op {
        let other = self.cold_sid();
        match self.rng.below(9) {
            0 => Op::Check(sid, Request::Counts),
            1 => Op::Verdict(sid, Request::Counts),
            2 | 3 => Op::Rotate { old: sid, new: other },
            4 => Op::Rotate { old: other, new: sid },
            5 => self.a_login(sid),
            6 => Op::Peek(sid),
            _ => self.a_purge(),
        }
    }

    pub(super) fn any_op(&mut self) -> Op {
        let whole_table = self.run.theme().whole_table;
        let sid = self.any_sid();
        match self
            .rng
            .weighted(&[26, 20, 9, 4, 9, 4, 3, 5, 9, 6, 5, 1, 3, whole_table, whole_table])
        {
            0 => self.a_look(sid),
            1 => self.a_login(sid),
            2 => Op::Close(sid),
            3 => Op::CloseUser {
                user: self.any_user(),
                except: self.rng.percent(50).then_some(sid),
            },
            4 => {
                let other = self.any_sid();
                Op::Rotate { old: sid, new: other }
            }
            5 => self.a_purge(),
            6 => Op::Flush,
            7 => Op::Insert {
                sid,
                user: Some(self.any_user()),
                idle: self.an_own_limit(30),
                absolute: self.an_own_limit(15),
            },
            8 => {
                let ago = self.rng.pick(&[100_000, SECOND, 4 * SECOND, 3600 * SECOND]);
                let activity = match self.rng.weighted(&[60, 15, 15, 10]) {
                    0 => Activity::Ago(ago),
                    1 => Activity::Ahead(ago),
                    2 => Activity::Unchanged,
                    _ => Activity::Login,
                };
                Op::SetActivity(sid, activity)
            }
            9 => Op::SetLimits {
                sid,
                idle: self.an_own_limit(50),
                absolute: self.an_own_limit(20),
            },
            10 => Op::Delete(Rows::Of(sid)),
            11 => Op::Delete(Rows::OfUser(self.any_user())),
            12 => self.a_parameter(),
            13 => Op::Delete(Rows::All),
            _ => Op::Truncate,
        }
    }

    pub(super) fn a_login(&mut self, sid: usize) -> Op {
        Op::Open {
            sid,
            user: self.rng.percent(85).then(|| self.any_user()),
            idle: self.an_own_limit(35),
            absolute: self.an_own_limit(15),
        }
    }

    pub(super) fn a_purge(&mut self) -> Op {
        // In SERIALIZABLE the look would be a reason for our functions to fail.
        Op::Purge {
            look: self.isolation() != Isolation::Serializable && self.rng.percent(80),
        }
    }

    pub(super) fn a_parameter(&mut self) -> Op {
        let interval = self.rng.pick(&[SECOND, SECOND, 60 * SECOND, 3600 * SECOND]);
        let setting = match self.rng.weighted(&[50, 15, 15, 10, 10]) {
            0 => Setting::Delay(self.any_delay()),
            1 => Setting::AbsoluteDelay(self.rng.pick(&[None, None, None, Some(3 * SECOND), Some(6 * SECOND)])),
            2 => Setting::SkipCheck(self.rng.percent(50)),
            3 => Setting::FlushInterval(interval),
            _ => Setting::PurgeInterval(interval),
        };
        Op::Set {
            setting,
            by_hand: self.rng.percent(40),
        }
    }

    pub(super) fn any_delay(&mut self) -> Limit {
        let delays = self.run.theme().delays;
        self.rng.pick(delays)
    }

    pub(super) fn an_own_limit(&mut self, percent: u32) -> Limit {
        const LIMITS: [Micros; 5] = [200_000, SECOND / 2, SECOND, 3 * SECOND, 3600 * SECOND];
        self.rng.percent(percent).then(|| self.rng.pick(&LIMITS))
    }

    pub(super) fn any_user(&mut self) -> u8 {
        self.rng.below(USERS as usize) as u8
    }

    pub(super) fn any_isolation(&mut self) -> Isolation {
        self.rng.pick(&[
            Isolation::ReadCommitted,
            Isolation::ReadCommitted,
            Isolation::RepeatableRead,
            Isolation::Serializable,
        ])
    }

    /// A few are used all the time.
    pub(super) fn any_sid(&mut self) -> usize {
        match self.rng.weighted(&[35, 60, 5]) {
            0 => self.rng.below(5),
            1 => self.rng.below(SIDS),
            _ => SIDS + self.rng.below(ALL_SIDS - SIDS),
        }
    }

    /// One that new extensions often have.
    pub(super) fn new_sid(&mut self) -> usize {
        5 + self.rng.below(4)
    }

    /// One that is used seldom.
    pub(super) fn cold_sid(&mut self) -> usize {
        5 + self.rng.below(SIDS - 5)
    }
}
