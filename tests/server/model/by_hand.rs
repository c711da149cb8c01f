//! Rows written by hand: what they teach, as PostgreSQL says which there were.

use super::clocks::Clocks;
use super::events::{Ending, How};
use super::op::Op;
use super::state::{Model, Place, Session, State};
use super::time::{Micros, Span};
use super::transaction::Transaction;

impl Model {
    pub(super) fn row_written(
        &mut self,
        transaction: &mut Transaction,
        op: &Op,
        span: Span,
        row: Option<(Micros, Micros)>,
    ) -> Result<(), (Option<usize>, String)> {
        let Some((opened_at, last_activity)) = row else {
            if let Op::Insert { sid, .. } = op {
                // Its trigger has run all the same.
                transaction.may_have_changed(*sid);
            }
            return Ok(());
        };
        let (opened, written) = (
            Span::at(opened_at),
            Span::new(last_activity.min(span.from), last_activity),
        );
        let written = if last_activity <= span.to {
            Span::at(last_activity)
        } else {
            written
        };
        match op {
            Op::Insert {
                sid,
                user,
                idle,
                absolute,
            } => {
                let view = self.view(transaction, span);
                let base = self.locked(transaction, *sid);
                let free = |state: &State| match state {
                    State::Anything | State::Absent(_) => true,
                    State::Open(session) => self.may_be_expired(session, &view),
                };
                if !base.iter().any(|(_, state)| free(state)) {
                    return Err((Some(*sid), "a row must be there already".to_owned()));
                }
                self.replaced(transaction, *sid, span, &base, true);
                let clocks = self.new_clocks(Clocks::new(*sid, opened, written, span));
                let session = Session {
                    clocks,
                    user: *user,
                    idle: *idle,
                    absolute: *absolute,
                    doubt: false,
                };
                self.set(transaction, *sid, State::Open(session));
            }
            Op::SetActivity(sid, _) | Op::SetLimits { sid, .. } => {
                let base = self.locked(transaction, *sid);
                let open: Vec<(Place, Session)> = base
                    .iter()
                    .filter_map(|(place, state)| Some((*place, state.session()?)))
                    .collect();
                let state = match open[..] {
                    [(_, session)] => self.changed(transaction, op, *sid, span, session, opened, written),
                    [] if base.iter().all(|(_, state)| matches!(state, State::Absent(_))) => {
                        return Err((Some(*sid), "there must be no row".to_owned()));
                    }
                    _ => {
                        let how = How::Unclear;
                        transaction.changes.endings.push(Ending { sid: *sid, how });
                        State::Anything
                    }
                };
                transaction.set(*sid, state);
            }
            _ => {}
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn changed(
        &mut self,
        transaction: &mut Transaction,
        op: &Op,
        sid: usize,
        span: Span,
        session: Session,
        opened: Span,
        written: Span,
    ) -> State {
        if let Op::SetLimits { idle, absolute, .. } = op {
            return State::Open(Session {
                idle: *idle,
                absolute: *absolute,
                ..session
            });
        }
        let view = self.view(transaction, span);
        let doubt = self.may_be_expired(&session, &view);
        let how = if doubt {
            // Whether what was found expired lives again is not said.
            How::Unclear
        } else {
            How::ClocksSet(session)
        };
        transaction.changes.endings.push(Ending { sid, how });
        let clocks = self.new_clocks(Clocks::new(sid, opened, written, span));
        State::Open(Session {
            clocks,
            doubt,
            ..session
        })
    }

    pub(super) fn deleted(
        &mut self,
        transaction: &mut Transaction,
        span: Span,
        sids: &[usize],
    ) -> Result<(), (Option<usize>, String)> {
        for &sid in sids {
            let seen = self.seen_or_locked(transaction, sid, span);
            if seen.iter().all(|(_, state)| matches!(state, State::Absent(_))) {
                return Err((Some(sid), "there must be no row".to_owned()));
            }
            let open: Vec<_> = self
                .locked(transaction, sid)
                .into_iter()
                .filter(|(_, state)| !matches!(state, State::Absent(_)))
                .collect();
            self.end_all(transaction, sid, &open, |session| How::Closed(session, span.from));
        }
        Ok(())
    }
}
