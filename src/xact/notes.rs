//! What the current transaction has changed, and what its checks have found: a leaf that everything may ask and tell.
//!
//! A transaction that changed a session sees its own change in the row, and does not load that session into the registry.
//! What becomes of these notes when the transaction ends is in [`super::commit`].
//!
//! The list is bounded: after [`MAX_LISTED`] sessions, all sessions of the database are meant. It never shrinks: after a
//! rollback to a savepoint it may name a session that was not changed, which costs one read of its row.

use std::cell::RefCell;

use pgrx::pg_sys::Oid;
use session_timeout_core::event::{Ended, Kind, MAX_PER_NOTICE};
use session_timeout_core::registry::change::SessionNotes;
use session_timeout_core::registry::{Key, Row};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::Expiry;

pub use session_timeout_core::registry::change::Change;

use crate::pg::backend_local::BackendLocal;
use crate::pg::transaction::subtransaction;
use crate::shared::database::Database;

/// The most sessions that are listed one by one.
pub const MAX_LISTED: usize = 256;

/// The most notices of one transaction, however many sessions it ends.
pub const MAX_NOTICES: usize = 1000;

/// The notes of the current transaction.
#[derive(Default)]
pub struct Notes {
    /// The sessions that it changed, or that it checked after it had changed what they are judged by.
    pub sessions: Vec<SessionNote>,
    /// It changed more sessions of this database than are listed, of any of its tables: the extension may be dropped and
    /// created behind a savepoint.
    pub all_sessions: bool,
    /// The database whose sessions are all being invalidated by this commit.
    pub invalidating_all: Option<&'static Database>,
    /// It wrote rows of sessions by hand: not by the functions, which report the pages that they write to.
    pub by_hand: bool,
    /// It changed parameters.
    pub parameters: bool,
    /// It created or dropped the extension.
    pub installation: bool,
    /// Some of it was rolled back to a savepoint.
    pub rolled_back: bool,
    /// The database that it drops.
    pub dropped_database: Option<Oid>,
    /// Sessions that it ended, of which notices are sent before the commit; no more than fit [`MAX_NOTICES`].
    pub ended: Vec<EndedNote>,
}

/// A session that a transaction ended.
pub struct EndedNote {
    /// The subtransaction.
    pub by: u32,
    /// Why it ended.
    pub kind: Kind,
    /// The session and its event.
    pub ended: Ended,
}

/// What a transaction notes of one session.
pub struct SessionNote {
    /// Its changes, and what checks found.
    pub session: SessionNotes,
    /// The user name of the login that it replaced.
    pub replaced_name: Option<Box<[u8]>>,
}

impl Notes {
    /// Whether nothing that concerns sessions was noted.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && !self.all_sessions && !self.parameters
    }

    /// Forgets everything. Allocates nothing, raises nothing.
    pub fn clear(&mut self) {
        self.sessions.clear();
        self.all_sessions = false;
        self.invalidating_all = None;
        self.by_hand = false;
        self.parameters = false;
        self.installation = false;
        self.rolled_back = false;
        self.dropped_database = None;
        self.ended = Vec::new();
    }

    fn find(&mut self, key: &Key) -> Option<&mut SessionNote> {
        self.sessions.iter_mut().rfind(|note| note.session.key() == key)
    }

    fn origin_of(&mut self, key: &Key, version: i64) -> (Key, i64) {
        match self.find(key) {
            Some(note) => note.session.origin_of(version),
            None => (*key, version),
        }
    }

    /// The note of a session, which is added if the list is not full.
    fn find_or_add(&mut self, key: &Key) -> Option<&mut SessionNote> {
        if self.find(key).is_none() {
            if self.sessions.len() == MAX_LISTED {
                return None;
            }
            self.sessions.push(SessionNote {
                session: SessionNotes::new(*key),
                replaced_name: None,
            });
        }
        self.find(key)
    }
}

static NOTES: BackendLocal<RefCell<Notes>> = BackendLocal::new(RefCell::new(Notes {
    sessions: Vec::new(),
    all_sessions: false,
    invalidating_all: None,
    by_hand: false,
    parameters: false,
    installation: false,
    rolled_back: false,
    dropped_database: None,
    ended: Vec::new(),
}));

/// Calls `work` with the notes.
pub fn with<R>(work: impl FnOnce(&Notes) -> R) -> R {
    NOTES.with_borrow(work)
}

/// Calls `work` with the notes, which it may change.
pub fn with_mut<R>(work: impl FnOnce(&mut Notes) -> R) -> R {
    NOTES.with_borrow_mut(work)
}

/// The current transaction changes a session.
pub fn session_changed(key: &Key, change: Change) {
    with_mut(|notes| match notes.find_or_add(key) {
        Some(note) => note.session.set_change(change),
        None => notes.all_sessions = true,
    });
}

/// The current transaction gives the row of a session that it has changed a version. If the row continues an earlier login,
/// `from` is its session and version: activity and expiry that others add to it until the commit are carried over. `None`
/// is a login of its own.
pub fn session_derives(key: &Key, version: i64, from: Option<(Key, i64)>) {
    let by = subtransaction();
    with_mut(|notes| {
        let origin = from.map(|(key, version)| notes.origin_of(&key, version));
        if let Some(note) = notes.find(key) {
            note.session.derive(by, version, origin);
        }
    });
}

/// The current transaction opens a session again that was open, in this version, and that nobody has found expired.
pub fn session_replaced(key: &Key, version: i64, user_name: Option<&[u8]>) {
    let by = subtransaction();
    with_mut(|notes| {
        if let Some(note) = notes.find(key) {
            if note.session.replaced().is_none() {
                note.replaced_name = user_name.map(Box::from);
            }
            note.session.replace(by, version);
        }
    });
}

/// The current transaction ends a session, of which a notice is sent at its commit.
pub fn session_ended(kind: Kind, ended: Ended) {
    let by = subtransaction();
    with_mut(|notes| {
        if notes.ended.len() < MAX_NOTICES * MAX_PER_NOTICE {
            notes.ended.push(EndedNote { by, kind, ended });
        }
    });
}

/// The current transaction changes any number of sessions.
pub fn all_sessions_changed() {
    with_mut(|notes| notes.all_sessions = true);
}

/// The current transaction writes rows of sessions by hand.
pub fn written_by_hand() {
    with_mut(|notes| notes.by_hand = true);
}

/// The current transaction changes a parameter.
pub fn parameters_changed() {
    with_mut(|notes| notes.parameters = true);
}

/// The current transaction creates or drops the extension.
pub fn installation_changed() {
    with_mut(|notes| {
        notes.parameters = true;
        notes.installation = true;
    });
}

/// The current transaction drops a database. PostgreSQL makes sure that it does nothing else.
pub fn database_dropped(database: Oid) {
    with_mut(|notes| notes.dropped_database = Some(database));
}

/// The own change of a session by the current transaction, so that the row must answer its checks; [`Change::None`] if it
/// changed what the session is judged by. `None` if nothing that it changed concerns the session: the registry may answer.
pub fn own_change(key: &Key) -> Option<Change> {
    with_mut(|notes| {
        if notes.is_empty() {
            return None;
        }
        let bears_on_all = notes.all_sessions || notes.parameters;
        match notes.find(key) {
            Some(note) => Some(note.session.change()),
            None => bears_on_all.then_some(Change::None),
        }
    })
}

/// Whether the current transaction has changed a parameter.
pub fn has_changed_parameters() -> bool {
    with(|notes| notes.parameters)
}

/// What only the checks of the current transaction know of the login of this version: its last activity, and that it is
/// expired.
pub fn local_state(key: &Key, version: i64) -> (Option<Timestamp>, Option<Expiry>) {
    with_mut(|notes| match notes.find(key) {
        Some(note) => note.session.known(version),
        None => (None, None),
    })
}

/// The session and version under which others know the login of this version: another one if the current transaction has
/// rotated it or changed its limits.
pub fn origin_of(key: &Key, version: i64) -> (Key, i64) {
    with_mut(|notes| notes.origin_of(key, version))
}

/// A check of the current transaction counts, of a session that the row answered for: the registry gets the touch at the
/// end of the transaction.
pub fn touch_later(key: &Key, row: &Row, now: Timestamp) {
    let by = subtransaction();
    with_mut(|notes| {
        if let Some(note) = notes.find_or_add(key) {
            note.session.touch(by, *row, now);
        }
    });
}

/// A check of the current transaction found a session expired by what only this transaction sees: that is final from its
/// commit on.
pub fn expire_later(key: &Key, row: &Row, expiry: Expiry) {
    let by = subtransaction();
    with_mut(|notes| {
        if let Some(note) = notes.find_or_add(key) {
            note.session.expire(by, *row, expiry);
        }
    });
}
