//! What the current transaction changed, and what becomes of it in shared memory when the transaction ends.
//!
//! A transaction that changed a session sees its own change on the row, and neither loads, touches nor marks that session
//! in the registry. Others go on with the entry until the commit:
//!
//! | when | what |
//! | --- | --- |
//! | before the commit | the entries of what was changed are put in flux: checks ask the row |
//! | after the commit, before it returns | they become unverified: the next check reads the row; the parameters' generation goes up |
//! | after an abort, at whatever point | the same, so that a flux that had begun ends; the parameters stay |
//!
//! The list is bounded: past [`MOST`] sessions the whole table is meant. It is never shortened: after a rollback to a
//! savepoint a session may be on it that was not changed, which costs one read of its row. What runs after the commit
//! record is written allocates nothing and raises nothing.
//!
//! As the end of the transaction is the moment of truth, it cannot be left to another backend: `PREPARE TRANSACTION` is
//! refused with 0A000 after a change, as it is after `LISTEN`.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::registry::{Flux, Key, Outcome, Row};
use session_timeout_core::time::Timestamp;

use crate::catalog::Objects;
use crate::entry::quietly;
use crate::error::Error;
use crate::shared::database::{Database, Presence};
use crate::shared::{self, database};
use crate::store::login_lock;

/// The most sessions that are listed one by one.
pub const MOST: usize = 256;

/// What happened to a session in this transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was opened, moved, or its row changed.
    Written,
    /// It was closed: its row is gone.
    Closed,
    /// It was found expired: its row is gone.
    Expired,
}

#[derive(Default)]
struct Changes {
    sessions: Vec<Changed>,
    /// The session table, where more was changed than is listed.
    whole_table: Option<(u32, u32)>,
    /// Where its flux is counted.
    whole_table_flux: Option<&'static Database>,
    parameters: bool,
    installation: bool,
}

struct Changed {
    key: Key,
    change: Change,
    flux: Option<Flux>,
    /// The newest request that counted, with the row it was judged by.
    touch: Option<(Row, Timestamp)>,
    /// It goes on an older opening, or another session, whose activity and mark are its own: (key, version), and the
    /// version that it has itself.
    heir_of: Option<(Key, i64, i64)>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.whole_table.is_none() && !self.parameters
    }
}

thread_local! {
    static CHANGES: RefCell<Changes> = const {
        RefCell::new(Changes { sessions: Vec::new(), whole_table: None, whole_table_flux: None, parameters: false, installation: false })
    };
}

/// The registry's name for a session of this database.
pub fn key_of(objects: &Objects, digest: &Digest) -> Key {
    // SAFETY: a plain read; set once when the process connects.
    let database = unsafe { pg_sys::MyDatabaseId };
    Key {
        database: database.into(),
        table: objects.session.into(),
        digest: *digest,
    }
}

/// The current transaction changes a session.
pub fn session_changed(objects: &Objects, digest: &Digest, change: Change) {
    let key = key_of(objects, digest);
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.sessions.iter_mut().rfind(|listed| listed.key == key) {
            listed.change = change;
        } else if changes.sessions.len() < MOST {
            changes.sessions.push(Changed {
                key,
                change,
                flux: None,
                touch: None,
                heir_of: None,
            });
        } else {
            changes.whole_table = Some((key.database, key.table));
        }
    });
}

/// The current transaction gives a session a new version, as which it goes on with the activity and the mark that the
/// registry holds for an older one, or for another session: what comes until the commit is then not left behind.
pub fn session_inherits(key: &Key, new_version: i64, from: &Key, from_version: i64) {
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.sessions.iter_mut().rfind(|listed| listed.key == *key) {
            // Of several changes in one transaction, the first is what others still see.
            let (first, first_version) = match listed.heir_of {
                Some((key, version, _)) => (key, version),
                None => (*from, from_version),
            };
            listed.heir_of = Some((first, first_version, new_version));
        }
    });
}

/// The current transaction changes any number of sessions.
pub fn all_sessions_changed(session_table: Oid) {
    // SAFETY: as key_of.
    let database = unsafe { pg_sys::MyDatabaseId };
    CHANGES.with_borrow_mut(|changes| changes.whole_table = Some((database.into(), session_table.into())));
}

/// The current transaction changes a parameter.
pub fn parameters_changed() {
    CHANGES.with_borrow_mut(|changes| changes.parameters = true);
}

/// The current transaction creates or drops the extension.
pub fn installation_changed() {
    CHANGES.with_borrow_mut(|changes| {
        changes.parameters = true;
        changes.installation = true;
    });
}

/// What the current transaction has to do with a session, or with the parameters that it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing: the registry may answer.
    None,
    /// It changed the session, or something that may be it: the row answers.
    Own(Option<Change>),
}

/// Whether the current transaction's own changes bear on a session.
pub fn part_in(key: &Key) -> Part {
    CHANGES.with_borrow(|changes| {
        if changes.is_empty() {
            return Part::None;
        }
        match changes.sessions.iter().rfind(|listed| listed.key == *key) {
            Some(listed) => Part::Own(Some(listed.change)),
            None if changes.whole_table.is_some() || changes.parameters => Part::Own(None),
            None => Part::None,
        }
    })
}

/// Whether the current transaction has changed a parameter.
pub fn has_changed_parameters() -> bool {
    CHANGES.with_borrow(|changes| changes.parameters)
}

/// A check in this transaction counted, of a session that the row answered for: the touch follows at the end.
pub fn touch_later(key: &Key, row: &Row, now: Timestamp) {
    let touch = Some((*row, now));
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.sessions.iter_mut().rfind(|listed| listed.key == *key) {
            listed.touch = touch;
        } else if changes.sessions.len() < MOST {
            changes.sessions.push(Changed {
                key: *key,
                change: Change::Written,
                flux: None,
                touch,
                heir_of: None,
            });
        }
    });
}

/// To be called once, at load.
pub fn register_callbacks() {
    // SAFETY: the callbacks may raise only before the transaction's fate is decided, see there.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_event), ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_subtransaction), ptr::null_mut());
    }
}

unsafe extern "C-unwind" fn on_event(event: pg_sys::XactEvent::Type, argument: *mut c_void) {
    // SAFETY: called as PostgreSQL called this. The statement may hold session ids, where it is one of several.
    unsafe { quietly(|| guarded_on_event(event, argument)) }
}

#[pg_guard]
unsafe extern "C-unwind" fn guarded_on_event(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT => begin_flux(),
        XACT_EVENT_PRE_PREPARE if CHANGES.with_borrow(|changes| !changes.is_empty()) => {
            Error::PrepareAfterChange.raise();
        }
        XACT_EVENT_COMMIT => end(true),
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => end(false),
        _ => {}
    }
}

/// After a rollback to a savepoint nobody knows which changes are left: any row may be what it was.
#[pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    _subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        CHANGES.with_borrow_mut(|changes| {
            for changed in &mut changes.sessions {
                changed.change = Change::Written;
                changed.touch = None;
                changed.heir_of = None;
            }
        });
    }
}

fn begin_flux() {
    let Some(shared) = shared::get() else { return };
    CHANGES.with_borrow_mut(|changes| {
        if changes.whole_table.is_some()
            && let Some(database) = database::mine(shared)
        {
            database.flux.fetch_add(1, AcqRel);
            changes.whole_table_flux = Some(database);
        }
        for changed in &mut changes.sessions {
            changed.flux = Some(shared.registry.begin_flux(&changed.key));
        }
    });
}

/// Runs after every transaction: allocates nothing, raises nothing.
fn end(committed: bool) {
    login_lock::forget();
    CHANGES.with_borrow_mut(|changes| {
        if changes.is_empty() {
            return;
        }
        if let Some(shared) = shared::get() {
            // A request that was judged by parameters which were rolled back has not counted.
            let touches_count = committed || !changes.parameters;
            for changed in &mut changes.sessions {
                let touch = changed.touch.filter(|_| touches_count);
                let outcome = match changed.change {
                    _ if !committed => Outcome::Aborted,
                    Change::Written | Change::Expired => Outcome::Committed,
                    Change::Closed => Outcome::Closed,
                };
                let heritage = changed
                    .heir_of
                    .filter(|_| committed)
                    .and_then(|(key, version, own_version)| {
                        Some((own_version, shared.registry.look_word(&key, version)?))
                    });
                shared
                    .registry
                    .end_flux(&changed.key, changed.flux.take(), outcome, touch, heritage);
            }
            let database = database::mine(shared);
            if let Some(database) = database
                && changes
                    .sessions
                    .iter()
                    .any(|changed| changed.touch.is_some() || changed.heir_of.is_some())
            {
                database.set_dirty();
            }
            if let Some((oid, table)) = changes.whole_table {
                shared.registry.unverify_all(oid, table);
            }
            if let Some(database) = changes.whole_table_flux {
                database.flux.fetch_sub(1, AcqRel);
            }
            if let Some(database) = database
                && changes.parameters
                && committed
            {
                database.parameters.fetch_add(1, AcqRel);
                // A worker looks whether the extension is there, and how long the intervals are now.
                if changes.installation {
                    database.installations.fetch_add(1, AcqRel);
                    database.set_presence(Presence::Unknown);
                    database.not_before.store(i64::MIN, Relaxed);
                }
                database.set_urgent();
                shared.control.wake_launcher();
            }
        }
        changes.sessions.clear();
        changes.whole_table = None;
        changes.whole_table_flux = None;
        changes.parameters = false;
        changes.installation = false;
    });
}
