//! Closing, revoking, rotating and purging: which answers are allowed, and what they end.

use super::check::{Look, Said};
use super::events::{Ending, Found, How};
use super::op::{ALL_SIDS, Request};
use super::state::{Model, Place, Session, State};
use super::time::Span;
use super::transaction::Transaction;
use super::writes::{last_clocks, of};

impl Model {
    pub(super) fn closed(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        span: Span,
        closed: bool,
    ) -> Result<(), String> {
        let view = self.view(transaction, span);
        let seen = self.seen_or_locked(transaction, sid, span);
        let fits = |state: &State| match state {
            State::Anything => true,
            State::Absent(_) => !closed,
            State::Open(session) if closed => self.clocks[session.clocks]
                .expired
                .is_none_or(|known| known > span.from),
            State::Open(session) => self.may_be_expired(session, &view),
        };
        if !seen.iter().any(|(_, state)| fits(state)) {
            return Err(format!("of these states, none allows it: {seen:?}, {view:?}"));
        }
        transaction.may_have_changed(sid);
        if closed {
            let base = self.locked(transaction, sid);
            let open: Vec<_> = base
                .iter()
                .copied()
                .filter(|(_, state)| !matches!(state, State::Absent(_)))
                .collect();
            self.end_all(transaction, sid, &open, |session| How::Closed(session, span.from));
        }
        Ok(())
    }

    pub(super) fn closed_user(
        &mut self,
        transaction: &mut Transaction,
        user: u8,
        except: Option<usize>,
        span: Span,
        count: i64,
    ) -> Result<(), String> {
        let view = self.view(transaction, span);
        let (mut least, mut most) = (0, 0);
        let (mut certain, mut possible) = (Vec::new(), Vec::new());
        for sid in (0..ALL_SIDS).filter(|sid| Some(*sid) != except) {
            let seen = self.seen_or_locked(transaction, sid, span);
            let of_user = |state: &State| match state {
                State::Anything => true,
                State::Absent(_) => false,
                State::Open(session) => session.user == Some(user),
            };
            if !seen.iter().any(|(_, state)| of_user(state)) {
                continue;
            }
            let expired = |state: &State| match state {
                State::Open(session) => self.may_be_expired(session, &view),
                _ => true,
            };
            let known = |state: &State| match state {
                State::Open(session) => self.clocks[session.clocks]
                    .expired
                    .is_some_and(|known| known <= span.from),
                _ => false,
            };
            if seen.iter().all(|(_, state)| of_user(state) && !expired(state)) {
                least += 1;
                certain.push(sid);
            }
            if seen.iter().any(|(_, state)| of_user(state) && !known(state)) {
                most += 1;
                possible.push(sid);
            }
            let base = self.locked(transaction, sid);
            match base[..] {
                [(_, State::Open(session))] if session.user != Some(user) => {}
                [(_, State::Absent(_))] => {}
                // Otherwise its snapshot may be older than that row.
                [(place, state @ State::Open(session))] if seen.iter().all(|(_, state)| of_user(state)) => {
                    transaction.changes.endings.push(Ending {
                        sid,
                        how: How::Revoked(session, span.from),
                    });
                    let absent = State::Absent(Some(session.clocks));
                    match place {
                        Place::Committed(id) if expired(&state) => transaction.set_unless_changed(sid, absent, id),
                        _ => transaction.set(sid, absent),
                    }
                }
                _ => {
                    let how = How::Unclear;
                    transaction.changes.endings.push(Ending { sid, how });
                    let newest = base.iter().rev().find_map(|(place, _)| match place {
                        Place::Committed(id) => Some(*id),
                        Place::Own => None,
                    });
                    if let Some(id) = newest {
                        transaction.set_unless_changed(sid, State::Anything, id);
                    }
                }
            }
        }
        if (least..=most).contains(&count) {
            Ok(())
        } else {
            Err(format!(
                "allowed: {least} to {most}; certainly open: {certain:?}; possibly: {possible:?}"
            ))
        }
    }

    pub(super) fn rotated(
        &mut self,
        transaction: &mut Transaction,
        old: usize,
        new: usize,
        span: Span,
        rotated: bool,
    ) -> Result<(), (Option<usize>, String)> {
        let said = Said {
            valid: rotated,
            verdict: None,
        };
        let base: Vec<_> = self.locked(transaction, old);
        let target = self.locked(transaction, new);
        of(old, self.looked(transaction, old, Look::Rotate, span, said))?;
        if !rotated {
            return Ok(());
        }
        let view = self.view(transaction, span);
        let free = |state: &State| match state {
            State::Anything | State::Absent(_) => true,
            State::Open(session) => self.may_be_expired(session, &view),
        };
        let seen = self.seen_or_locked(transaction, new, span);
        if !seen.iter().any(|(_, state)| free(state)) {
            return Err((Some(new), "the new sid is open, so 23505 was expected".to_owned()));
        }
        self.replaced(transaction, new, span, &target, true);
        let open: Vec<Session> = base.iter().filter_map(|(_, state)| state.session()).collect();
        let state = match open[..] {
            [session] => {
                self.clocks[session.clocks].names.push(new);
                State::Open(session)
            }
            _ => State::Anything,
        };
        self.set(transaction, new, state);
        transaction.set(old, State::Absent(last_clocks(&base)));
        if base.len() != 1 {
            transaction.changes.endings.push(Ending {
                sid: new,
                how: How::Unclear,
            });
        }
        Ok(())
    }

    /// A purge finds only what is past a limit. `gone`: whose rows it has deleted, as the same transaction saw before and
    /// after it, or others meanwhile.
    pub(super) fn purged(
        &mut self,
        transaction: &mut Transaction,
        span: Span,
        count: i64,
        gone: Option<&[usize]>,
    ) -> Result<(), (Option<usize>, String)> {
        let view = self.view(transaction, span);
        let can_be = |model: &Self, state: &State| match state {
            State::Anything => true,
            State::Absent(_) => false,
            State::Open(session) => model.may_be_expired(session, &view),
        };
        let past = |model: &Self, sid: usize| {
            let seen = model.seen_or_locked(transaction, sid, span);
            seen.iter().any(|(_, state)| can_be(model, state))
        };
        let most = (0..ALL_SIDS).filter(|&sid| past(self, sid)).count();
        if count > most as i64 {
            return Err((None, format!("at most {most} can be past a limit")));
        }
        if count > 0 && gone.is_none_or(|gone| gone.len() as i64 != count) {
            // It has deleted others, too, or nobody knows which.
            for sid in 0..ALL_SIDS {
                if transaction.has_changed(sid) {
                    for (place, _) in self.seen(transaction, sid, span) {
                        self.doubt(transaction, sid, place);
                    }
                }
            }
            transaction.may_have_changed_all();
        }
        for &sid in gone.unwrap_or_default() {
            let seen = self.seen_or_locked(transaction, sid, span);
            match seen[..] {
                [(_, State::Open(session))] => {
                    if !self.may_be_expired(&session, &view) {
                        return Err((Some(sid), "within its limits, and purged".to_owned()));
                    }
                    if !transaction.has_changed(sid) {
                        self.clocks[session.clocks].was_expired(span.to);
                    }
                    if count == 0 {
                        // By the worker, not by this purge.
                        continue;
                    }
                    let how = How::Replaced(session, Found::Certainly);
                    let absent = State::Absent(Some(session.clocks));
                    match seen[0].0 {
                        Place::Own => transaction.set(sid, absent),
                        Place::Committed(id) => transaction.set_unless_changed(sid, absent, id),
                    }
                    transaction.changes.endings.push(Ending { sid, how });
                }
                _ => transaction.may_have_changed(sid),
            }
        }
        Ok(())
    }

    /// A judgement that was refused because the new sid of a rotation is open.
    pub fn can_be_open(&self, transaction: &Transaction, sid: usize, span: Span) -> bool {
        let view = self.view(transaction, span);
        let seen = self.seen_or_locked(transaction, sid, span);
        seen.iter().any(|(_, state)| match state {
            State::Anything => true,
            State::Absent(_) => false,
            State::Open(session) => self.can_be_valid(session, &view, Request::Look),
        })
    }
}
