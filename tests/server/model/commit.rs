//! The end of a transaction: what it has changed becomes visible, or has not been.

use super::state::{Model, State};
use super::time::{Micros, Span};
use super::transaction::{Sent, Transaction};

/// How a COMMIT ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitEnd {
    Committed,
    /// Refused: it was rolled back.
    Refused,
    /// The connection was lost: committed, or not.
    Lost,
}

impl Model {
    /// COMMIT is about to be sent: from now on others can see the changes.
    pub fn commit_sent(&mut self, transaction: &mut Transaction, at: Micros) {
        self.commits += 1;
        let mut sent = Sent {
            order: self.commits,
            ..Sent::default()
        };
        for (&sid, own) in &transaction.changes.own {
            let history = &mut self.sids[sid].history;
            if let Some(from) = own.from
                && history.locked().last().is_none_or(|(newest, _)| newest != from)
            {
                continue;
            }
            sent.sessions.push((sid, history.commit(own.state, at)));
            if let State::Open(session) = own.state {
                self.clocks[session.clocks].limits_sent(session.idle, session.absolute, at);
            }
        }
        let parameters = transaction.changes.parameters;
        sent.delay = parameters.delay.map(|value| self.delay.commit(value, at));
        sent.absolute = parameters.absolute.map(|value| self.absolute.commit(value, at));
        sent.skip = parameters.skip.map(|value| self.skip.commit(value, at));
        transaction.sent = sent;
    }

    /// Its answer is there, or never will be.
    pub fn commit_ended(&mut self, transaction: &mut Transaction, span: Span, end: CommitEnd) {
        let sent = std::mem::take(&mut transaction.sent);
        let at = span.to;
        match end {
            CommitEnd::Committed => {
                if transaction.changes.recreated {
                    // Those who waited for it may have been answered before it.
                    for sid in &mut self.sids {
                        sid.ended.retain(|ended| ended.order > sent.order);
                    }
                }
                let view = self.view(&Transaction::new(0, transaction.isolation, at), span);
                for ending in std::mem::take(&mut transaction.changes.endings) {
                    self.ended(ending, &view, sent.order);
                }
                for &(sid, id) in &sent.sessions {
                    self.sids[sid].history.answered(id, at);
                    if let Some(State::Open(session)) = transaction.own(sid).map(|own| own.state) {
                        self.clocks[session.clocks].limits_answered(at);
                    }
                }
                each(&sent.delay, |id| self.delay.answered(id, at));
                each(&sent.absolute, |id| self.absolute.answered(id, at));
                each(&sent.skip, |id| self.skip.answered(id, at));
                self.record_touches(transaction, at, true);
            }
            CommitEnd::Refused => {
                for &(sid, id) in &sent.sessions {
                    self.sids[sid].history.refused(id);
                }
                each(&sent.delay, |id| self.delay.refused(id));
                each(&sent.absolute, |id| self.absolute.refused(id));
                each(&sent.skip, |id| self.skip.refused(id));
                self.record_touches(transaction, at, false);
            }
            CommitEnd::Lost => {
                for &(sid, id) in &sent.sessions {
                    self.sids[sid].history.lost(id, at);
                    self.sids[sid].unclear = true;
                }
                each(&sent.delay, |id| self.delay.lost(id, at));
                each(&sent.absolute, |id| self.absolute.lost(id, at));
                each(&sent.skip, |id| self.skip.lost(id, at));
                for ending in &transaction.changes.endings {
                    self.sids[ending.sid].unclear = true;
                }
            }
        }
        self.let_go(transaction, at);
    }

    /// It was rolled back. `lost`: as its connection was.
    pub fn rolled_back(&mut self, transaction: &mut Transaction, at: Micros, lost: bool) {
        if !lost {
            self.record_touches(transaction, at, false);
        }
        self.let_go(transaction, at);
    }

    fn record_touches(&mut self, transaction: &mut Transaction, at: Micros, committed: bool) {
        for deferred in std::mem::take(&mut transaction.deferred) {
            if (committed || !deferred.own) && transaction.begun >= self.up_since {
                self.clocks[deferred.clocks].was_touched(deferred.from, at);
            }
        }
    }

    fn let_go(&mut self, transaction: &mut Transaction, at: Micros) {
        if std::mem::take(&mut transaction.ddl) {
            self.ddl.end(at);
        }
        if std::mem::take(&mut transaction.many) {
            self.many.end(at);
        }
        if std::mem::take(&mut transaction.exclusive) {
            self.exclusive.end(at);
        }
    }
}

fn each<T: Copy>(value: &Option<T>, mut with: impl FnMut(T)) {
    if let Some(value) = *value {
        with(value);
    }
}
