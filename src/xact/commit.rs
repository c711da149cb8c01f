//! The callbacks at the end of a transaction: what becomes of its notes in shared memory.
//!
//! | when | what |
//! | --- | --- |
//! | before the commit | looks at the rows whose committed version is in doubt; begins the invalidation of everything that was changed, so that checks ask the row; begins an epoch of the pages' bounds after a change by hand; writes the event of a session that others found expired since it was opened again; sends the notices |
//! | after the commit, before it returns | activity and expiry follow a row that got another version; everything that was changed becomes unverified, so that the next check reads the row; the generation of the parameters grows |
//! | after an abort, at whatever point | ends an invalidation that had begun; the generation of the parameters stays |
//!
//! After the commit record is written nothing here allocates or raises: an ERROR would take the server down.
//!
//! Another backend cannot do this work later, so `PREPARE TRANSACTION` is refused with 0A000 after a change, as PostgreSQL
//! refuses it after `LISTEN`.

use std::ffi::c_void;
use std::{mem, ptr};

use pgrx::pg_sys;
use pgrx::prelude::*;
use session_timeout_core::registry::EntryUpdate;

use super::notes::{self, Notes};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::fcall::quietly;
use crate::pg::transaction::{make_visible, my_database, with_snapshot};
use crate::rows::session::{self, SessionRow};
use crate::rows::user_lock;
use crate::session::context::Context;
use crate::session::end;
use crate::shared::attached::Attached;
use crate::shared::{self, Shared, databases};

/// Must be called once, when the library is loaded.
pub fn register() {
    // SAFETY: the callbacks raise only before the transaction has committed or aborted.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_event), ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_subtransaction), ptr::null_mut());
    }
}

unsafe extern "C-unwind" fn on_event(event: pg_sys::XactEvent::Type, argument: *mut c_void) {
    // SAFETY: called as PostgreSQL called this. The statement may hold session ids: it may be one of several in a string.
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
            end::send(notes::with_mut(|notes| mem::take(&mut notes.ended)));
        }
        XACT_EVENT_PRE_PREPARE if notes::with(|notes| !notes.is_empty()) => {
            Error::PrepareAfterChange.raise();
        }
        XACT_EVENT_COMMIT => after_end(true),
        XACT_EVENT_ABORT | XACT_EVENT_PREPARE => after_end(false),
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
        notes::with_mut(|notes| {
            notes.rolled_back = true;
            let kept = notes.ended.partition_point(|note| note.by < subtransaction);
            notes.ended.truncate(kept);
            // The parameters that a check used may have been rolled back.
            let keep_checks = !notes.parameters;
            for note in &mut notes.sessions {
                note.session.roll_back(subtransaction, keep_checks);
            }
        });
    }
}

/// Within the transaction: may raise, which aborts it.
fn before_commit(shared: &'static Shared) -> Result<(), Error> {
    // The files of a dropped database are gone by now, whatever becomes of the transaction, and nobody connects until it ends.
    // After that somebody may create another database with that OID.
    if let Some(dropped) = notes::with(|notes| notes.dropped_database) {
        databases::forget_dropped(shared, dropped);
    }
    if notes::with(Notes::is_empty) {
        return Ok(());
    }
    // A statement that is a transaction of its own has not made its writes visible.
    make_visible();
    look_at_rows();
    begin_invalidation(shared);
    record_replaced(shared)
}

/// Finds the versions that will be committed: a rollback to a savepoint may have taken versions back, and a trigger may have
/// kept a row from being written. The transaction has locked the table already.
fn look_at_rows() {
    let mut n = 0;
    while let Some((place, key)) = notes::with(|notes| {
        let rest = notes.sessions.iter().enumerate().skip(n);
        rest.into_iter()
            .find(|(_, note)| note.session.is_in_doubt(notes.rolled_back))
            .map(|(n, note)| (n, *note.session.key()))
    }) {
        let version = session::read_newest(session::table_of(&key), &key.digest, |row| row.version());
        notes::with_mut(|notes| notes.sessions[place].session.set_committed(version));
        n = place + 1;
    }
}

fn begin_invalidation(shared: &'static Shared) {
    notes::with_mut(|notes| {
        // The rows are written, and not yet visible.
        if notes.by_hand
            && let Some(database) = Attached::to(shared).database()
        {
            database.purge_due.begin_epoch(shared.control);
        }
        if notes.all_sessions
            && let Some(database) = databases::begin_invalidation_of_all(shared)
        {
            notes.invalidating_all = Some(database);
        }
        for note in &mut notes.sessions {
            note.session.invalidation = Some(shared.registry.begin_invalidation(note.session.key()));
        }
    });
}

/// Writes the event of a session that others have found expired since this transaction opened it again. Its row is locked, so
/// the worker has not ended it, and after the commit it is gone.
fn record_replaced(shared: &'static Shared) -> Result<(), Error> {
    let mut n = 0;
    while let Some((place, key, name, activity, expiry)) = notes::with_mut(|notes| {
        let rest = notes.sessions.iter_mut().enumerate().skip(n);
        rest.into_iter().find_map(|(place, note)| {
            let key = *note.session.key();
            let (activity, expiry) = shared.registry.look(&key, note.session.replaced()?)?;
            Some((place, key, note.replaced_name.take(), activity, expiry?))
        })
    }) {
        // If the table is dropped, so are its events.
        if let Ok(context) = Context::current()
            && key.table == u32::from(context.objects.session.oid)
        {
            // A text has the layout of a bytea.
            let name = name.and_then(|name| (*name).into_datum());
            with_snapshot(|| end::record_one(&context, expiry.into(), key.digest, name, activity))?;
        }
        n = place + 1;
    }
    Ok(())
}

/// After every transaction: allocates nothing, raises nothing.
fn after_end(committed: bool) {
    user_lock::reset();
    notes::with_mut(|notes| {
        if let Some(shared) = shared::get().filter(|_| !notes.is_empty()) {
            end_invalidation(shared, notes, committed);
        }
        notes.clear();
    });
}

fn end_invalidation(shared: &'static Shared, notes: &mut Notes, committed: bool) {
    // First retire the logins that a committed row continues: from here on they take no touch and no expiry.
    for note in notes.sessions.iter_mut().filter(|_| committed) {
        if let Some((key, version)) = note.session.committed_origin() {
            let word = shared.registry.retire(&key, version);
            // Activity of a clock that was ahead is not carried over.
            note.session
                .set_origin_word(word.map(|word| word.no_later_than(clock::now())));
        }
    }
    // A request that was judged by parameters that were rolled back does not count.
    let checks_count = committed || !notes.parameters;
    let (mut has_activity, mut has_expiry) = (false, false);
    let now = clock::now();
    if committed && notes.installation {
        databases::installation_changed(shared);
    }
    let attached = Attached::to(shared);
    for note in &mut notes.sessions {
        let session = &mut note.session;
        let mut update = session.entry_update(committed, checks_count);
        if attached.database().is_none() {
            // No worker would come for what is only in memory.
            update = EntryUpdate::default();
        }
        if let (Some(database), Some((row, _))) = (attached.database(), &update.touch) {
            database.touched(row.session.idle_delay, now);
        }
        has_activity |= update.derived.is_some();
        has_expiry |= update.expired.is_some() || update.derived.is_some_and(|(_, word)| word.expiry().is_some());
        let (key, invalidation, outcome) = (*session.key(), session.invalidation.take(), session.outcome(committed));
        shared.registry.end_invalidation(&key, invalidation, outcome, update);
    }
    if notes.all_sessions {
        shared.registry.unverify_all(my_database().into());
    }
    if let Some(database) = notes.invalidating_all {
        databases::end_invalidation_of_all(database);
    }
    let Some(database) = attached.database() else { return };
    if has_activity {
        database.set_dirty();
    }
    let has_new_parameters = committed && notes.parameters;
    if has_new_parameters {
        database.parameters_changed(shared.control);
    }
    // A worker applies new intervals.
    if has_expiry || has_new_parameters {
        attached.hurry();
    }
}
