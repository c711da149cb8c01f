//! What a connection's transaction has changed and not yet committed.

use std::collections::{BTreeMap, BTreeSet};

use super::clocks::ClocksId;
use super::events::Ending;
use super::history::EntryId;
use super::op::Setting;
use super::state::State;
use super::time::{Limit, Micros};

/// As in `BEGIN ISOLATION LEVEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    pub fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// A session as its transaction has made it.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    pub state: State,
    /// The commit it was made from, where it is not certain that there was a row to lock. If another commit follows that,
    /// there was none, and nothing was changed.
    pub from: Option<EntryId>,
}

/// Parameters as a transaction has set them.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnParameters {
    pub delay: Option<Limit>,
    pub absolute: Option<Limit>,
    pub skip: Option<bool>,
}

impl OwnParameters {
    /// Those that the install script makes.
    pub const DEFAULTS: Self = Self {
        delay: Some(Some(7_200_000_000)),
        absolute: Some(None),
        skip: Some(true),
    };

    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Delay(limit) => self.delay = Some(limit),
            Setting::AbsoluteDelay(limit) => self.absolute = Some(limit),
            Setting::SkipCheck(skip) => self.skip = Some(skip),
            Setting::FlushInterval(_) | Setting::PurgeInterval(_) => {}
        }
    }
}

/// What a rollback to a savepoint takes back.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// So many touches were waiting for the end.
    pub deferred: usize,
    pub own: BTreeMap<usize, Own>,
    pub parameters: OwnParameters,
    /// The extension was dropped, and perhaps created again.
    pub recreated: bool,
    pub endings: Vec<Ending>,
}

/// A touch that is recorded when the transaction ends.
#[derive(Debug, Clone, Copy)]
pub struct Deferred {
    pub clocks: ClocksId,
    pub from: Micros,
    /// Judged by what the transaction has changed: it counts only if that is committed.
    pub own: bool,
}

/// What was sent with a COMMIT.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Its place among all commits.
    pub order: u64,
    pub sessions: Vec<(usize, EntryId)>,
    pub delay: Option<EntryId>,
    pub absolute: Option<EntryId>,
    pub skip: Option<EntryId>,
}

/// A transaction under way; between transactions, one that has done nothing.
#[derive(Debug, Clone)]
pub struct Transaction {
    pub number: u64,
    pub isolation: Isolation,
    /// When it was begun: it has no older snapshot.
    pub begun: Micros,
    pub changes: Changes,
    pub savepoints: Vec<Changes>,
    /// Sessions it has changed, whether or not that was rolled back to a savepoint: its checks of them record nothing
    /// before its end.
    changed: BTreeSet<usize>,
    changed_all: bool,
    pub changed_parameters: bool,
    /// It has run plain DML or DDL.
    pub by_hand: bool,
    /// It has run DDL.
    pub ddl: bool,
    /// It has locked the whole table.
    pub exclusive: bool,
    /// It may have changed very many sessions.
    pub many: bool,
    /// It holds locks that others may wait for.
    pub holds_locks: bool,
    pub deferred: Vec<Deferred>,
    pub sent: Sent,
}

/// Past so many sessions no single ones are listed by this model, which then says less of them.
const LISTED: usize = 250;

impl Transaction {
    pub fn new(number: u64, isolation: Isolation, begun: Micros) -> Self {
        Self {
            number,
            isolation,
            begun,
            changes: Changes::default(),
            savepoints: Vec::new(),
            changed: BTreeSet::new(),
            changed_all: false,
            changed_parameters: false,
            by_hand: false,
            ddl: false,
            exclusive: false,
            many: false,
            holds_locks: false,
            deferred: Vec::new(),
            sent: Sent::default(),
        }
    }

    pub fn own(&self, sid: usize) -> Option<Own> {
        self.changes.own.get(&sid).copied()
    }

    /// The session is now so, for this transaction.
    pub fn set(&mut self, sid: usize, state: State) {
        self.changed.insert(sid);
        self.changes.own.insert(sid, Own { state, from: None });
    }

    /// The same, if nobody else commits after this entry: see [`Own::from`].
    pub fn set_unless_changed(&mut self, sid: usize, state: State, from: EntryId) {
        self.changed.insert(sid);
        self.changes.own.insert(
            sid,
            Own {
                state,
                from: Some(from),
            },
        );
    }

    /// It may have changed this session.
    pub fn may_have_changed(&mut self, sid: usize) {
        self.changed.insert(sid);
    }

    /// It may have changed any session.
    pub fn may_have_changed_all(&mut self) {
        self.changed_all = true;
    }

    /// Whether its checks of this session are the transaction's own affair.
    pub fn has_changed(&self, sid: usize) -> bool {
        self.changed_all || self.changed_parameters || self.changed.len() > LISTED || self.changed.contains(&sid)
    }

    /// Whether its snapshot may be older than its present statement.
    pub fn keeps_snapshot(&self) -> bool {
        self.isolation != Isolation::ReadCommitted
    }

    pub fn savepoint(&mut self) {
        self.changes.deferred = self.deferred.len();
        self.savepoints.push(self.changes.clone());
    }

    /// Back to the newest savepoint, which stays.
    pub fn rollback_to(&mut self) {
        if let Some(saved) = self.savepoints.last() {
            self.changes = saved.clone();
            // Those that were judged by what is now undone do not count.
            let mut n = 0;
            let before = saved.deferred;
            self.deferred.retain(|touch| {
                n += 1;
                n <= before || !touch.own
            });
        }
    }

    pub fn release(&mut self) {
        self.savepoints.pop();
    }
}
