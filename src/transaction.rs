//! What the current transaction changed, and what becomes of it in shared memory when the transaction ends.
//!
//! A transaction that changed a session sees its own change on the row, and does not load that session into the registry. If
//! the row is one that it has not written itself, others see the same, and its touch is recorded at once; else it follows at
//! the end. Others go on with the entry until the commit:
//!
//! | when | what |
//! | --- | --- |
//! | before the commit | the rows that are in doubt are looked at; the entries of what was changed are put in flux: checks ask the row; who was found expired before it was opened again is told of |
//! | after the commit, before it returns | what goes on under another version takes activity and mark along; all that changed becomes unverified: the next check reads the row; the parameters' generation goes up |
//! | after an abort, at whatever point | likewise, so that a flux that had begun ends; the parameters stay |
//!
//! The list is bounded: past [`MOST`] sessions all of the database are meant. It is never shortened: after a rollback to a
//! savepoint a session may be on it that was not changed, which costs one read of its row. What runs after the commit
//! record is written allocates nothing and raises nothing.
//!
//! As the end of the transaction is the moment of truth, it cannot be left to another backend: `PREPARE TRANSACTION` is
//! refused with 0A000 after a change, as it is after `LISTEN`.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering::AcqRel;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::registry::change::Changed;
use session_timeout_core::registry::{Key, Row};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::Expiry;

pub use session_timeout_core::registry::change::Change;

use crate::catalog::{self, Objects};
use crate::clock;
use crate::ending;
use crate::entry::quietly;
use crate::error::Error;
use crate::process::PerProcess;
use crate::shared::database::Database;
use crate::shared::{self, Shared, database};
use crate::store::session_row::SessionRow;
use crate::store::table::{Latest, Table};
use crate::store::{self, login_lock, session_row};

/// The most sessions that are listed one by one.
pub const MOST: usize = 256;

#[derive(Default)]
struct Changes {
    sessions: Vec<Listed>,
    /// More sessions of this database were changed than are listed, of whichever of its tables: the extension may be dropped
    /// and created behind a savepoint.
    all_sessions: bool,
    /// Where its flux is counted.
    all_sessions_flux: Option<&'static Database>,
    parameters: bool,
    installation: bool,
    /// Some of it was rolled back to a savepoint.
    rolled_back: bool,
    /// The database that it drops.
    dropped_database: Option<Oid>,
}

struct Listed {
    session: Changed,
    /// The user name of the opening that it replaced.
    replaced_name: Option<Box<[u8]>>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && !self.all_sessions && !self.parameters
    }

    fn of(&mut self, key: &Key) -> Option<&mut Listed> {
        self.sessions.iter_mut().rfind(|listed| listed.session.key() == key)
    }

    /// What is listed of a session, which is put on the list where there is room.
    fn listed(&mut self, key: &Key) -> Option<&mut Listed> {
        if self.of(key).is_none() {
            if self.sessions.len() == MOST {
                return None;
            }
            self.sessions.push(Listed {
                session: Changed::new(*key),
                replaced_name: None,
            });
        }
        self.of(key)
    }
}

static CHANGES: PerProcess<RefCell<Changes>> = PerProcess::new(RefCell::new(Changes {
    sessions: Vec::new(),
    all_sessions: false,
    all_sessions_flux: None,
    parameters: false,
    installation: false,
    rolled_back: false,
    dropped_database: None,
}));

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

/// Ids grow as subtransactions begin.
fn subtransaction() -> u32 {
    // SAFETY: reads the state of the current transaction.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// The current transaction changes a session.
pub fn session_changed(objects: &Objects, digest: &Digest, change: Change) {
    let key = key_of(objects, digest);
    CHANGES.with_borrow_mut(|changes| match changes.listed(&key) {
        Some(listed) => listed.session.set_change(change),
        None => changes.all_sessions = true,
    });
}

/// The current transaction gives the row of a session that it has changed a version. It goes on an older opening, or
/// another session, whose activity and mark are its own, so that what comes until the commit is not left behind; or, where
/// `from` is `None`, it is an opening of its own.
pub fn session_descends(key: &Key, version: i64, from: Option<(Key, i64)>) {
    let by = subtransaction();
    CHANGES.with_borrow_mut(|changes| {
        let root = from.map(|(key, version)| match changes.of(&key) {
            Some(listed) => listed.session.root_of(version),
            None => (key, version),
        });
        if let Some(listed) = changes.of(key) {
            listed.session.descend(by, version, root);
        }
    });
}

/// The current transaction opens a session again that was open, in this version, and that nobody has found expired.
pub fn session_replaced(key: &Key, version: i64, user_name: Option<&[u8]>) {
    let by = subtransaction();
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.of(key) {
            if listed.session.replaced().is_none() {
                listed.replaced_name = user_name.map(Box::from);
            }
            listed.session.replace(by, version);
        }
    });
}

/// The current transaction changes any number of sessions.
pub fn all_sessions_changed() {
    CHANGES.with_borrow_mut(|changes| changes.all_sessions = true);
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

/// The current transaction drops a database. It is the only thing that it does, as PostgreSQL sees to.
pub fn database_dropped(database: Oid) {
    CHANGES.with_borrow_mut(|changes| changes.dropped_database = Some(database));
}

/// What the current transaction has to do with a session, or with the parameters that it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing: the registry may answer.
    None,
    /// It changed the session, or something that may be it: the row answers.
    Own(Change),
}

/// Whether the current transaction's own changes bear on a session.
pub fn part_in(key: &Key) -> Part {
    CHANGES.with_borrow_mut(|changes| {
        if changes.is_empty() {
            return Part::None;
        }
        if let Some(listed) = changes.of(key) {
            return Part::Own(listed.session.change());
        }
        if changes.all_sessions || changes.parameters {
            return Part::Own(Change::None);
        }
        Part::None
    })
}

/// Whether the current transaction has changed a parameter.
pub fn has_changed_parameters() -> bool {
    CHANGES.with_borrow(|changes| changes.parameters)
}

/// What the current transaction's checks have found of this opening that nobody else knows yet: its newest request, and
/// that it is expired.
pub fn own_knowledge(key: &Key, version: i64) -> (Option<Timestamp>, Option<Expiry>) {
    CHANGES.with_borrow_mut(|changes| match changes.of(key) {
        Some(listed) => listed.session.known(version),
        None => (None, None),
    })
}

/// A check in this transaction counted, of a session that the row answered for: the touch follows at the end.
pub fn touch_later(key: &Key, row: &Row, now: Timestamp) {
    let by = subtransaction();
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.listed(key) {
            listed.session.touch(by, *row, now);
        }
    });
}

/// A check in this transaction found a session expired, by what only this transaction sees: that is final from its commit
/// on.
pub fn expire_later(key: &Key, row: &Row, expiry: Expiry) {
    let by = subtransaction();
    CHANGES.with_borrow_mut(|changes| {
        if let Some(listed) = changes.listed(key) {
            listed.session.find(by, *row, expiry);
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
        XACT_EVENT_PRE_COMMIT => {
            if let Some(shared) = shared::get() {
                before_commit(shared).unwrap_or_else(|error| error.raise());
            }
        }
        XACT_EVENT_PRE_PREPARE if CHANGES.with_borrow(|changes| !changes.is_empty()) => {
            Error::PrepareAfterChange.raise();
        }
        XACT_EVENT_COMMIT => end(true),
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => end(false),
        _ => {}
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        CHANGES.with_borrow_mut(|changes| {
            changes.rolled_back = true;
            // The parameters that a check went by may be among what is rolled back.
            let keep_checks = !changes.parameters;
            for listed in &mut changes.sessions {
                listed.session.roll_back(subtransaction, keep_checks);
            }
        });
    }
}

/// Within the transaction: may raise, which aborts it.
fn before_commit(shared: &'static Shared) -> Result<(), Error> {
    // Its files are gone by now, whatever becomes of the transaction, and until its end nobody connects. After it somebody may
    // make another database under that OID.
    if let Some(dropped) = CHANGES.with_borrow(|changes| changes.dropped_database) {
        database::forget_dropped(shared, dropped);
    }
    if CHANGES.with_borrow(Changes::is_empty) {
        return Ok(());
    }
    // What the last command wrote is to be seen too: a statement that is a transaction of its own has not made it so.
    store::make_visible();
    look_at_rows();
    begin_flux(shared);
    tell_of_replaced(shared)
}

/// What was rolled back to a savepoint took its versions with it, and a trigger may have kept a row from being written.
/// The transaction has its lock on the table already.
fn look_at_rows() {
    let mut n = 0;
    while let Some(next) = CHANGES.with_borrow(|changes| {
        let rest = changes.sessions.iter().enumerate().skip(n);
        rest.into_iter()
            .find(|(_, listed)| listed.session.is_in_doubt(changes.rolled_back))
            .map(|(n, listed)| (n, *listed.session.key()))
    }) {
        let (place, key) = next;
        let version = Table::open_to_read(Oid::from(key.table)).and_then(|table| {
            let snapshot = Latest::take(&table);
            session_row::find(&table, &snapshot, &key.digest, |row| row.version())
        });
        CHANGES.with_borrow_mut(|changes| changes.sessions[place].session.set_committed(version));
        n = place + 1;
    }
}

fn begin_flux(shared: &'static Shared) {
    CHANGES.with_borrow_mut(|changes| {
        if changes.all_sessions
            && let Some(database) = database::begin_flux(shared)
        {
            changes.all_sessions_flux = Some(database);
        }
        for listed in &mut changes.sessions {
            listed.session.flux = Some(shared.registry.begin_flux(listed.session.key()));
        }
    });
}

/// A session that others have found expired since this transaction opened it again ends with the commit: here is the last
/// to tell of it. The worker has left it alone, as its row is locked.
fn tell_of_replaced(shared: &'static Shared) -> Result<(), Error> {
    let mut n = 0;
    while let Some((place, key, name, activity, mark)) = CHANGES.with_borrow_mut(|changes| {
        let rest = changes.sessions.iter_mut().enumerate().skip(n);
        rest.into_iter().find_map(|(place, listed)| {
            let key = *listed.session.key();
            let (activity, mark) = shared.registry.look(&key, listed.session.replaced()?)?;
            Some((place, key, listed.replaced_name.take(), activity, mark?))
        })
    }) {
        // Events of a table that is gone went with it.
        if let Ok(objects) = catalog::objects()
            && key.table == u32::from(objects.session)
        {
            // A text's bytes are laid out as a bytea's.
            let name = name.and_then(|name| (*name).into_datum());
            // SAFETY: within the transaction. A row is written under a snapshot, and the statements' are gone by now. An
            // error aborts the transaction, and that takes the snapshot away.
            unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
            ending::tell(&objects, mark.into(), key.digest, name, activity)?;
            // SAFETY: pushed above.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
        n = place + 1;
    }
    Ok(())
}

/// Runs after every transaction: allocates nothing, raises nothing.
fn end(committed: bool) {
    login_lock::forget();
    CHANGES.with_borrow_mut(|changes| {
        if let Some(shared) = shared::get().filter(|_| !changes.is_empty()) {
            changes.settle(shared, committed);
        }
        changes.sessions.clear();
        changes.all_sessions = false;
        changes.all_sessions_flux = None;
        changes.parameters = false;
        changes.installation = false;
        changes.rolled_back = false;
        changes.dropped_database = None;
    });
}

impl Changes {
    fn settle(&mut self, shared: &'static Shared, committed: bool) {
        // First what the older openings came to: from here on nothing gets into them any more.
        for listed in self.sessions.iter_mut().filter(|_| committed) {
            if let Some((key, version)) = listed.session.heir_of() {
                let word = shared.registry.seal(&key, version);
                // Activity that a clock which was ahead has left goes no further.
                listed
                    .session
                    .inherit(word.map(|word| word.no_later_than(clock::now())));
            }
        }
        // A request that was judged by parameters which were rolled back has not counted.
        let checks_count = committed || !self.parameters;
        let (mut news, mut marks) = (false, false);
        // A worker looks whether the extension is there, and how long the intervals are now.
        if committed && self.installation {
            database::installation_changed(shared);
        }
        let database = database::mine(shared);
        for listed in &mut self.sessions {
            let session = &mut listed.session;
            let mut estate = session.estate(committed, checks_count);
            if database.is_none() {
                // No worker would ever come for what is only in memory.
                estate = session_timeout_core::registry::Estate::default();
            }
            news |= estate.touch.is_some() || estate.heritage.is_some();
            marks |= estate.found.is_some() || estate.heritage.is_some_and(|(_, word)| word.mark().is_some());
            let (key, flux, outcome) = (*session.key(), session.flux.take(), session.outcome(committed));
            shared.registry.end_flux(&key, flux, outcome, estate);
        }
        if self.all_sessions {
            // SAFETY: as key_of.
            shared.registry.unverify_all(unsafe { pg_sys::MyDatabaseId }.into());
        }
        if let Some(database) = self.all_sessions_flux {
            database.flux.fetch_sub(1, AcqRel);
        }
        let Some(database) = database else { return };
        if news {
            database.set_dirty();
        }
        if committed && self.parameters {
            database.parameters_changed(shared);
        }
        if marks || committed && self.parameters {
            database.set_urgent();
            shared.control.wake_launcher();
        }
    }
}
