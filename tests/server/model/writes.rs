//! What a statement that changes something may answer, and what its transaction has changed by it.

use super::check::{Look, Said};
use super::clocks::Clocks;
use super::events::{Ending, Found, How};
use super::op::{ALL_SIDS, Answer, BULK_USER, Op, SIDS};
use super::state::{Model, Place, Session, State};
use super::time::{Limit, Span};
use super::transaction::{OwnParameters, Transaction};

/// The limits and the user that a row is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    user: Option<u8>,
    idle: Limit,
    absolute: Limit,
}

impl Model {
    /// Compares the answer of a statement with what is allowed, and takes in what it says and does. The error describes
    /// what is allowed, for the sid that it is about, where it is about one.
    pub fn answered(
        &mut self,
        transaction: &mut Transaction,
        op: &Op,
        span: Span,
        answer: &Answer,
    ) -> Result<(), (Option<usize>, String)> {
        if !op.is_check() && !matches!(op, Op::Pause(_)) {
            transaction.holds_locks = true;
        }
        match (op, answer) {
            (Op::Check(sid, request), Answer::Bool(valid)) => {
                let said = Said {
                    valid: *valid,
                    verdict: None,
                };
                of(*sid, self.looked(transaction, *sid, Look::Check(*request), span, said))
            }
            (Op::CheckMany(_, request), Answer::Checks(checks)) => {
                for (sid, valid) in checks {
                    let said = Said {
                        valid: *valid,
                        verdict: None,
                    };
                    of(*sid, self.looked(transaction, *sid, Look::Check(*request), span, said))?;
                }
                Ok(())
            }
            (Op::Verdict(sid, request), Answer::Verdict(verdict)) => {
                let said = Said {
                    valid: verdict.valid,
                    verdict: Some(verdict),
                };
                of(*sid, self.looked(transaction, *sid, Look::Check(*request), span, said))
            }
            (Op::Peek(sid), Answer::Verdict(verdict)) => {
                let said = Said {
                    valid: verdict.valid,
                    verdict: Some(verdict),
                };
                of(*sid, self.looked(transaction, *sid, Look::Peek, span, said))
            }
            (
                Op::Open {
                    sid,
                    user,
                    idle,
                    absolute,
                },
                Answer::Nothing,
            ) => {
                let given = Given {
                    user: *user,
                    idle: *idle,
                    absolute: *absolute,
                };
                self.opened(transaction, *sid, span, span, span, given);
                Ok(())
            }
            (Op::OpenMany, Answer::Count(_)) => {
                let given = Given {
                    user: Some(BULK_USER),
                    idle: None,
                    absolute: None,
                };
                for sid in SIDS..ALL_SIDS {
                    self.opened(transaction, sid, span, span, span, given);
                }
                Ok(())
            }
            (Op::Close(sid), Answer::Bool(closed)) => of(*sid, self.closed(transaction, *sid, span, *closed)),
            (Op::CloseUser { user, except }, Answer::Count(count)) => self
                .closed_user(transaction, *user, *except, span, *count)
                .map_err(|wrong| (None, wrong)),
            (Op::Rotate { old, new }, Answer::Bool(rotated)) => self.rotated(transaction, *old, *new, span, *rotated),
            (Op::Purge { .. }, Answer::Purged { count, gone }) => {
                self.purged(transaction, span, *count, gone.as_deref())
            }
            (Op::Insert { .. } | Op::SetActivity(..) | Op::SetLimits { .. }, Answer::Row(row)) => {
                self.row_written(transaction, op, span, *row)
            }
            (Op::Delete(_), Answer::Deleted(sids)) => self.deleted(transaction, span, sids),
            (Op::Truncate, _) => {
                for sid in 0..ALL_SIDS {
                    let base = self.locked(transaction, sid);
                    self.end_all(transaction, sid, &base, |session| How::Closed(session, span.from));
                }
                transaction.may_have_changed_all();
                Ok(())
            }
            // In an older snapshot than the extension: its rows are not there.
            (Op::Set { by_hand: true, .. }, Answer::Count(0)) => Ok(()),
            (Op::Set { setting, .. }, _) => {
                transaction.changes.parameters.set(*setting);
                transaction.changed_parameters = true;
                Ok(())
            }
            (Op::DropExtension | Op::CreateExtension, _) => {
                for sid in 0..ALL_SIDS {
                    transaction.set(sid, State::Absent(None));
                }
                transaction.changes.parameters = OwnParameters::DEFAULTS;
                transaction.changes.recreated = true;
                transaction.changes.endings.clear();
                transaction.changed_parameters = true;
                transaction.may_have_changed_all();
                Ok(())
            }
            (Op::Flush, Answer::Count(_)) | (Op::Pause(_), _) => Ok(()),
            _ => Err((None, format!("{op:?} cannot answer {answer:?}"))),
        }
    }

    /// A login under a sid, by whatever statement; `opened` and `written`: the clocks of its row.
    pub(super) fn opened(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        span: Span,
        opened: Span,
        written: Span,
        given: Given,
    ) {
        let base = self.locked(transaction, sid);
        self.replaced(transaction, sid, span, &base, false);
        let clocks = self.new_clocks(Clocks::new(sid, opened, written, span));
        let session = Session {
            clocks,
            user: given.user,
            idle: given.idle,
            absolute: given.absolute,
            doubt: false,
        };
        self.set(transaction, sid, State::Open(session));
    }

    /// What is under a sid makes room for another login. `certain`: as it was found expired, where it is a session.
    pub(super) fn replaced(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        span: Span,
        base: &[(Place, State)],
        certain: bool,
    ) {
        let view = self.view(transaction, span);
        let how = match base {
            [(_, State::Absent(_))] => return,
            [(_, State::Open(session))] => {
                let must = self.must_be_expired(session, &view);
                if (must || certain) && !transaction.has_changed(sid) {
                    self.clocks[session.clocks].was_expired(span.to);
                }
                let found = if must || certain {
                    Found::Certainly
                } else if self.may_be_expired(session, &view) {
                    Found::Perhaps
                } else {
                    Found::Not
                };
                How::Replaced(*session, found)
            }
            _ => How::Unclear,
        };
        transaction.changes.endings.push(Ending { sid, how });
    }

    /// Whatever is under a sid, a row was there and is not any more.
    pub(super) fn end_all(
        &self,
        transaction: &mut Transaction,
        sid: usize,
        base: &[(Place, State)],
        how: impl Fn(Session) -> How,
    ) {
        let how = match base {
            [(_, State::Absent(_))] => return,
            [(_, State::Open(session))] => how(*session),
            _ => How::Unclear,
        };
        transaction.changes.endings.push(Ending { sid, how });
        transaction.set(sid, State::Absent(last_clocks(base)));
    }
}

pub(super) fn of(sid: usize, result: Result<(), String>) -> Result<(), (Option<usize>, String)> {
    result.map_err(|wrong| (Some(sid), wrong))
}

pub(super) fn last_clocks(base: &[(Place, State)]) -> Option<usize> {
    base.iter().rev().find_map(|(_, state)| match state {
        State::Open(session) => Some(session.clocks),
        State::Absent(clocks) => *clocks,
        State::Anything => None,
    })
}
