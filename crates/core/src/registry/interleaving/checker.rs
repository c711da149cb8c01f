//! A check, step by step, as the library does it.

use super::world::{Actor, World};
use crate::registry::test_support::{at, key};
use crate::registry::{Checked, Loaded, Missing, Row, SetExpired, Ticket, Touched, UnrecordedLimits};
use crate::time::Timestamp;
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

/// Checks the session once, under the digest of one key.
pub struct Checker {
    of: u32,
    at: Timestamp,
    request: Request,
    state: Check,
    closed_before: bool,
    expired_before: bool,
    login_returned_before: bool,
    started: bool,
    lost: bool,
    tries: u8,
}

enum Check {
    Look,
    Read(Ticket),
    /// The row has been read: it is compared with the unrecorded expiries.
    Judge(Ticket, Option<Row>),
    Load(Ticket, Option<Row>, UnrecordedLimits),
    /// There was no room for the row.
    JudgeFull(Row),
    SetExpiredFull(Row),
    ReadInvalidating,
    /// The row has been read: it is judged, and the result is recorded.
    JudgeInvalidating(Option<Row>),
}

impl Checker {
    pub fn checking(seconds: i64) -> Box<dyn Actor> {
        Self::asking(1, seconds, Request::Counting)
    }

    pub fn asking(of: u32, seconds: i64, request: Request) -> Box<dyn Actor> {
        Box::new(Self {
            of,
            at: at(seconds),
            request,
            state: Check::Look,
            closed_before: false,
            expired_before: false,
            login_returned_before: false,
            started: false,
            lost: false,
            tries: 0,
        })
    }

    /// Whether a row is valid, with what the registry knows of the same login; `None` if that was found expired.
    fn judge_row(&self, row: &Row, world: &World) -> Option<bool> {
        let known = world.registry.held(&key(self.of), row.version);
        if known.is_some_and(|known| known.expiry.is_some()) {
            return None;
        }
        let activity = known.map_or(row.session.last_activity, |known| known.activity);
        if !known.is_some_and(|known| known.answers) {
            let limits = world.around.unrecorded.limits();
            let session = Session {
                last_activity: activity.max(row.session.last_activity),
                ..row.session
            };
            if limits.expiry(&session, world.around.clock.get()).is_some() {
                return None;
            }
        }
        let session = Session {
            last_activity: activity.max(row.session.last_activity),
            ..row.session
        };
        let judgement = judge(&session, &world.params, Request::Look, self.at);
        Some(matches!(judgement, Judgement::Valid { .. }))
    }

    /// Records the judgement of a row. Returns whether it is recorded, or lost as a touch without an entry; if not, the check
    /// starts again.
    fn record(&mut self, row: &Row, valid: bool, world: &mut World) -> bool {
        if valid {
            let touched = match world.registry.touch(&key(self.of), row.version, self.at) {
                Touched::NoEntry => {
                    // Judged in the same step.
                    world.registry.touch_by_row(&key(self.of), row, self.at, || true)
                }
                touched => touched,
            };
            self.lost = touched != Touched::Yes;
            return touched != Touched::Over;
        }
        self.set_expired(row, world) != SetExpired::Over
    }

    fn set_expired(&self, row: &Row, world: &mut World) -> SetExpired {
        let insist = self.tries == 4;
        let result = world
            .registry
            .set_expired(&key(self.of), row, &world.params, self.at, insist);
        world.expired |= matches!(result, SetExpired::Yes(_));
        result
    }

    fn answer(&self, valid: bool, world: &mut World) -> bool {
        if self.request == Request::Look {
            return false;
        }
        if valid {
            assert!(
                !self.closed_before || world.login_returned,
                "true after a close had returned"
            );
            assert!(
                !self.expired_before || world.logged_in,
                "true after it was found expired"
            );
            if !self.lost {
                world.reported_active = world.reported_active.max(Some(self.at));
            }
        } else {
            assert!(
                !self.login_returned_before || world.closed,
                "false after a login had returned"
            );
        }
        false
    }
}

impl Actor for Checker {
    fn step(&mut self, world: &mut World) -> bool {
        if !self.started {
            self.started = true;
            // The old digest of a rotated session is closed; the new one goes on.
            self.closed_before = world.closed && self.of == 1;
            self.expired_before = world.expired;
            self.login_returned_before = world.login_returned;
            world.around.clock.set(world.around.clock.get().max(self.at));
        }
        let key = key(self.of);
        match self.state {
            Check::Look => match world.registry.check(&key, &world.params, self.request, self.at) {
                Checked::Answer {
                    judgement: Judgement::Valid { .. },
                    ..
                } => return self.answer(true, world),
                Checked::Answer {
                    judgement: Judgement::Expired(_),
                    ..
                } => {
                    world.expired |= self.request != Request::Look;
                    return self.answer(false, world);
                }
                Checked::Miss(ticket) => self.state = Check::Read(ticket),
                Checked::Invalidating => self.state = Check::ReadInvalidating,
            },
            Check::Read(ticket) => {
                self.state = Check::Judge(ticket, world.row_of(self.of));
                // One step less, if nobody makes room for another database.
                if !world.is_crowded {
                    return self.step(world);
                }
            }
            Check::Judge(ticket, row) => {
                let limits = world.around.unrecorded.limits();
                if let Some(row) = row
                    && !limits.is_none()
                    && self.judge_row(&row, world).is_none()
                {
                    return self.answer(false, world);
                }
                self.state = Check::Load(ticket, row, limits);
            }
            Check::Load(ticket, Some(row), limits) => {
                let holds = || world.around.unrecorded.limits() == limits;
                self.state = match world.registry.load_if(&key, ticket, &row, holds) {
                    Loaded::Invalidating => Check::JudgeInvalidating(Some(row)),
                    Loaded::Full => Check::JudgeFull(row),
                    _ => Check::Look,
                };
            }
            Check::JudgeFull(row) => match self.judge_row(&row, world) {
                Some(true) => {
                    self.lost = true;
                    return self.answer(true, world);
                }
                Some(false) => match self.set_expired(&row, world) {
                    SetExpired::Full => {
                        world.around.unrecorded.add(&row.session, Expiry::Idle, self.at);
                        self.state = Check::SetExpiredFull(row);
                    }
                    SetExpired::Over | SetExpired::No => self.state = Check::Look,
                    SetExpired::Yes(_) => return self.answer(false, world),
                },
                None => return self.answer(false, world),
            },
            Check::SetExpiredFull(row) => {
                if matches!(self.set_expired(&row, world), SetExpired::Over | SetExpired::No) {
                    self.state = Check::Look;
                } else {
                    world.expired = true;
                    return self.answer(false, world);
                }
            }
            Check::Load(ticket, None, _) => match world.registry.missing(&key, ticket) {
                Missing::Stale => self.state = Check::Look,
                Missing::Closed | Missing::Unknown => return self.answer(false, world),
            },
            Check::ReadInvalidating => self.state = Check::JudgeInvalidating(world.row_of(self.of)),
            Check::JudgeInvalidating(None) => return self.answer(false, world),
            Check::JudgeInvalidating(Some(row)) => match self.judge_row(&row, world) {
                None => return self.answer(false, world),
                Some(valid) => {
                    self.tries += 1;
                    if self.record(&row, valid, world) || self.tries == 4 {
                        return self.answer(valid, world);
                    }
                    self.state = Check::Look;
                }
            },
        }
        true
    }
}
