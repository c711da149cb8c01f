//! What is known of one database, from its creation on: its sessions, parameters, and who is at work.
//!
//! Everything is told to it in the order in which it happened to the clients: a statement is [`Model::begin`]-ed before it is
//! sent, and answered once its answer is there, both under one lock and with the clock read under that lock. So whatever
//! was answered before a statement began is known when it is judged, and whatever is under way is known to be.

use std::collections::VecDeque;

use super::clocks::{Clocks, ClocksId};
use super::events::Ended;
use super::history::{EntryId, History};
use super::op::{ALL_SIDS, Op, Request};
use super::records::Records;
use super::time::{Limit, Micros, SECOND, Span};
use super::transaction::Transaction;

/// An open session, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub clocks: ClocksId,
    pub user: Option<u8>,
    pub idle: Limit,
    pub absolute: Limit,
    /// It may have been found expired in a way that the model does not follow.
    pub doubt: bool,
}

/// What stands under a sid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing; before that, this login.
    Absent(Option<ClocksId>),
    /// A session that was open. It may have expired since.
    Open(Session),
    /// Nobody knows.
    Anything,
}

impl State {
    pub fn session(self) -> Option<Session> {
        match self {
            Self::Open(session) => Some(session),
            _ => None,
        }
    }
}

/// Where a state was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Own,
    Committed(EntryId),
}

/// How many are at something, and when the last of them ended.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    now: usize,
    last: Micros,
}

impl Busy {
    const NEVER: Self = Self {
        now: 0,
        last: Micros::MIN,
    };

    pub fn begin(&mut self) {
        self.now += 1;
    }

    pub fn end(&mut self, at: Micros) {
        self.now -= 1;
        self.last = at;
    }

    /// Whether somebody was at it at some time since.
    pub fn since(self, time: Micros) -> bool {
        self.now > 0 || self.last >= time
    }
}

/// A sid.
#[derive(Clone)]
pub struct Sid {
    pub history: History<State>,
    /// Somebody has opened it, though perhaps rolled that back: then `closed` may be said of it.
    pub was_opened: bool,
    /// Requests under way that may count as its activity, by their numbers.
    pub checks: Vec<u64>,
    /// The logins that have ended since events were last compared, in order.
    pub ended: Vec<Ended>,
    /// What became of one of its logins is not known, so that its events are not either.
    pub unclear: bool,
}

/// The parameters in force, as far as they can be told: any of these.
#[derive(Debug, Clone)]
pub struct View {
    pub span: Span,
    pub delays: Vec<Limit>,
    pub absolutes: Vec<Limit>,
    pub skip: Vec<bool>,
}

/// So many purges are remembered.
const PURGES: usize = 50;

/// One database.
pub struct Model {
    pub sids: Vec<Sid>,
    pub clocks: Vec<Clocks>,
    pub delay: History<Limit>,
    pub absolute: History<Limit>,
    pub skip: History<bool>,
    /// The extension is being dropped or created.
    pub ddl: Busy,
    /// The table of sessions is locked against readers.
    pub exclusive: Busy,
    /// Purges by hand, each from before it was sent until it ended: each goes by the parameters of its beginning.
    pub purges: VecDeque<(u64, Span)>,
    /// Transactions that may have changed very many sessions.
    pub many: Busy,
    /// Since the last crash. What was recorded in memory before it may be lost.
    pub up_since: Micros,
    pub records: Records,
    next_check: u64,
    /// How many commits were sent.
    pub commits: u64,
}

impl Model {
    /// A new database without sessions, with this delay, and the defaults otherwise.
    pub fn new(name: &str, delay: Limit) -> Self {
        let sid = || Sid {
            history: History::new(State::Absent(None)),
            was_opened: false,
            checks: Vec::new(),
            ended: Vec::new(),
            unclear: false,
        };
        Self {
            sids: std::iter::repeat_with(sid).take(ALL_SIDS).collect(),
            clocks: Vec::new(),
            delay: History::new(delay),
            absolute: History::new(None),
            skip: History::new(true),
            ddl: Busy::NEVER,
            exclusive: Busy::NEVER,
            purges: VecDeque::new(),
            many: Busy::NEVER,
            up_since: Micros::MIN,
            records: Records::new(name),
            next_check: 0,
            commits: 0,
        }
    }

    /// A statement is about to be sent. To be given back when it has ended.
    pub fn begin(&mut self, transaction: &mut Transaction, op: &Op, at: Micros) -> u64 {
        self.next_check += 1;
        let number = self.next_check;
        for sid in counted(op) {
            self.sids[sid].checks.push(number);
        }
        if matches!(op, Op::Purge { .. }) {
            if self.purges.len() == PURGES {
                self.purges.pop_front();
            }
            self.purges.push_back((number, Span::new(at, Micros::MAX)));
        }
        transaction.by_hand |= op.has_plain_statement() || op.is_ddl();
        if op.is_ddl() && !transaction.ddl {
            transaction.ddl = true;
            self.ddl.begin();
        }
        if matches!(
            op,
            Op::OpenMany | Op::Truncate | Op::Delete(_) | Op::DropExtension | Op::Purge { .. } | Op::CloseUser { .. }
        ) && !transaction.many
        {
            transaction.many = true;
            self.many.begin();
        }
        if (op.is_ddl() || *op == Op::Truncate) && !transaction.exclusive {
            transaction.exclusive = true;
            self.exclusive.begin();
        }
        number
    }

    /// What a transaction has made of a sid.
    pub fn set(&mut self, transaction: &mut Transaction, sid: usize, state: State) {
        self.sids[sid].was_opened |= state.session().is_some();
        transaction.set(sid, state);
    }

    /// It has ended.
    pub fn end(&mut self, op: &Op, number: u64, at: Micros) {
        if let Some((_, span)) = self.purges.iter_mut().find(|(purge, _)| *purge == number) {
            span.to = at;
        }
        for sid in counted(op) {
            self.sids[sid].checks.retain(|check| *check != number);
        }
    }

    /// The server has crashed and is there again.
    pub fn crashed(&mut self, at: Micros) {
        self.up_since = at;
        for clocks in &mut self.clocks {
            clocks.crashed(at);
        }
    }

    /// The model was wrong about a sid, or the server was: it goes on with what comes next.
    pub fn give_up(&mut self, transaction: &mut Transaction, sid: usize) {
        self.sids[sid].unclear = true;
        self.sids[sid].history.reset(State::Anything);
        if transaction.own(sid).is_some() {
            transaction.set(sid, State::Anything);
        }
    }

    pub fn new_clocks(&mut self, clocks: Clocks) -> ClocksId {
        self.clocks.push(clocks);
        self.clocks.len() - 1
    }

    /// What somebody can see under a sid who looks once within `span`, in this transaction.
    pub fn seen(&self, transaction: &Transaction, sid: usize, span: Span) -> Vec<(Place, State)> {
        let committed = || {
            let seen = self.sids[sid].history.seen(span);
            seen.map(|(id, state)| (Place::Committed(id), state))
        };
        match transaction.own(sid) {
            None => committed().collect(),
            Some(own) if own.from.is_none() => vec![(Place::Own, own.state)],
            Some(own) => [(Place::Own, own.state)].into_iter().chain(committed()).collect(),
        }
    }

    /// What somebody finds who has just locked the sid's row.
    pub fn locked(&self, transaction: &Transaction, sid: usize) -> Vec<(Place, State)> {
        let own = transaction.own(sid);
        if let Some(own) = own
            && own.from.is_none()
        {
            return vec![(Place::Own, own.state)];
        }
        let committed = self.sids[sid].history.locked().map(|(id, state)| match own {
            // If nobody has committed since.
            Some(own) if own.from == Some(id) => (Place::Own, own.state),
            _ => (Place::Committed(id), state),
        });
        committed.collect()
    }

    /// Both: of one who waited for a lock, or did not have to.
    pub fn seen_or_locked(&self, transaction: &Transaction, sid: usize, span: Span) -> Vec<(Place, State)> {
        let mut states = self.seen(transaction, sid, span);
        for found in self.locked(transaction, sid) {
            if !states.contains(&found) {
                states.push(found);
            }
        }
        states
    }

    /// The parameters that hold for this transaction within `span`.
    pub fn view(&self, transaction: &Transaction, span: Span) -> View {
        let own = transaction.changes.parameters;
        View {
            span,
            delays: own.delay.map_or_else(|| values(&self.delay, span), |value| vec![value]),
            absolutes: own
                .absolute
                .map_or_else(|| values(&self.absolute, span), |value| vec![value]),
            skip: own.skip.map_or_else(|| values(&self.skip, span), |value| vec![value]),
        }
    }
}

/// The sids whose activity it moves, where they are valid.
fn counted(op: &Op) -> Vec<usize> {
    match op {
        Op::Check(sid, Request::Counts) | Op::Verdict(sid, Request::Counts) => vec![*sid],
        Op::CheckMany(sids, Request::Counts) => sids.clone(),
        _ => Vec::new(),
    }
}

fn values<T: Copy + PartialEq>(history: &History<T>, span: Span) -> Vec<T> {
    let mut values = Vec::new();
    for (_, value) in history.seen(span) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    values
}

/// The delay of the template that databases are made from: not the default, so that one cannot stand for the other.
pub const TEMPLATE_DELAY: Limit = Some(300 * SECOND);
