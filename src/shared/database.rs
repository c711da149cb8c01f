//! What shared memory knows of one database: the generation of its parameters, what there is to do, and what was done.
//!
//! All fields are atomics. A place is given to a database and freed under the lock of the list ([`super::databases`]).

use std::cell::Cell;
use std::sync::atomic::{
    AtomicI64, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use chrono::TimeDelta;
use pgrx::pg_sys::Oid;
use session_timeout_core::params::flush_interval_of;
use session_timeout_core::registry::{Unrecorded, UnrecordedLimits};
use session_timeout_core::time::{Timestamp, to_micros};

use super::control::Control;
use super::purge_due::PurgeDue;
use super::schedule::{LATER, Schedule, backoff};
use crate::guc;
use crate::pg::backend_local::BackendLocal;

/// Whether a database has the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Presence {
    /// Unknown: a worker must look.
    Unknown = 0,
    /// It has the extension.
    Installed = 1,
    /// It does not have the extension.
    Absent = 2,
}

/// The place of one database.
#[repr(C, align(128))]
#[derive(Default)]
pub struct Database {
    /// Its OID; 0: the place is free.
    pub(super) oid: AtomicU32,
    /// Counts how many times the place was given to a database or freed.
    pub(super) registration: AtomicU32,
    /// On a standby, a number for the files of the database; 0: unknown.
    pub(super) files: AtomicU64,
    presence: AtomicU32,
    /// Counts commits that created or dropped the extension.
    pub(super) installations: AtomicU32,
    /// The generation of its parameters: grows with each committed change, and when the place is given to a database.
    pub parameters: AtomicU64,
    /// How many transactions that change any number of its sessions are committing.
    pub invalidations: AtomicU32,
    /// Some activity is not written to rows yet.
    dirty: AtomicU32,
    /// Some session was found expired, or something else cannot wait.
    urgent: AtomicU32,
    /// The registry was full for a session of this database: a flush would make room.
    pub full: AtomicU32,
    /// When that was logged last, in microseconds since 2000-01-01.
    pub full_logged: AtomicI64,
    /// No pass before this time, in microseconds since 2000-01-01: something was locked.
    pub not_before: AtomicI64,

    /// When dirty activity is flushed.
    pub flush: Schedule,
    /// When that of sessions with a short idle delay of their own is flushed, in microseconds since 2000-01-01; `i64::MAX`:
    /// there is none.
    early_flush: AtomicI64,
    /// How often expired sessions are looked for.
    pub purge: Schedule,
    /// When there can be some.
    pub purge_due: PurgeDue,
    /// The slot of the registry where the search for expired sessions continues.
    pub expire_from: AtomicU32,
    /// The slot of the registry where the flush continues.
    pub flush_from: AtomicU32,
    /// The heap page where the purge continues; 0: none is in progress.
    pub purge_from: AtomicU32,
    /// The id of the event at which the retention continues.
    pub retention_from: AtomicI64,
    /// When the retention last began at the first event, in microseconds since 2000-01-01.
    pub retention_began: AtomicI64,
    /// Passes that failed in a row.
    pub failures: AtomicU32,
    /// One of these failures was logged.
    pub failure_logged: AtomicU32,
    /// The pid of its worker, from before that connects until it ends; 0: none.
    pub worker: AtomicU32,
    /// Passes in a row that ended because a lock was not free.
    lock_waits: AtomicU32,
    /// A session was found expired, and the registry had no room to record it.
    purge_hurries: AtomicU32,
    /// Limits that stand for the expiries that no entry records.
    pub unrecorded: Unrecorded,
    /// As they were when the purge in progress began.
    unrecorded_at_purge: Unrecorded,

    /// When the last pass ended, in microseconds since 2000-01-01.
    pub last_pass: AtomicI64,
    /// Counts workers that have ended, in whatever way.
    pub ended: AtomicU32,
    /// Rows flushed since the server started.
    pub flushed: AtomicU64,
    /// Sessions deleted that a check had found expired.
    pub expired: AtomicU64,
    /// Sessions deleted that the purge found expired.
    pub purged: AtomicU64,
    /// SQLSTATE of the last failure, as PostgreSQL encodes it; 0: none.
    pub last_error: AtomicU32,
}

// As documented in docs/operations.md.
const _: () = assert!(size_of::<Database>() == 384);

impl Database {
    /// Its OID.
    pub fn oid(&self) -> Oid {
        Oid::from(self.oid.load(Acquire))
    }

    /// Whether this place is given to a database.
    pub fn is_used(&self) -> bool {
        self.oid() != Oid::INVALID
    }

    /// Whether the database has the extension.
    pub fn presence(&self) -> Presence {
        match self.presence.load(Acquire) {
            1 => Presence::Installed,
            2 => Presence::Absent,
            _ => Presence::Unknown,
        }
    }

    /// Sets whether the database has the extension.
    pub fn set_presence(&self, presence: Presence) {
        // SeqCst, as `installations`: a worker stores what it saw and then looks for a change; a commit counts a change and
        // then stores Unknown. They cannot both miss each other.
        self.presence.store(presence as u32, SeqCst);
    }

    /// A commit has changed some of its parameters.
    pub fn parameters_changed(&self, control: &Control) {
        self.parameters.fetch_max(control.new_generation(), AcqRel);
        // In this order: whoever reads the new epoch reads the new parameters, too.
        self.purge_due.begin_epoch(control);
    }

    /// How many commits have created or dropped the extension.
    pub fn installations(&self) -> u32 {
        self.installations.load(SeqCst)
    }

    /// Some activity must be flushed. Stores only if the bit is not set.
    pub fn set_dirty(&self) {
        // SeqCst, here and in `take_dirty`, as in the words of the registry: a worker that has just taken the bit finds the
        // activity of a check that still saw it set.
        if self.dirty.load(SeqCst) == 0 {
            self.dirty.store(1, SeqCst);
        }
    }

    /// Whether some activity must be flushed.
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Acquire) != 0
    }

    /// Clears the dirty bit, and returns what it was.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(0, SeqCst) != 0
    }

    /// The first touch of a session since its flush. `idle_delay` is the session's own.
    pub fn touched(&self, idle_delay: Option<TimeDelta>, now: Timestamp) {
        self.set_dirty();
        if let Some(delay) = idle_delay {
            let interval = to_micros(flush_interval_of(delay)).max(guc::naptime() * 1_000_000);
            self.early_flush
                .fetch_min(now.micros().saturating_add(interval), AcqRel);
        }
    }

    /// When activity of sessions with a short idle delay of their own is due, in microseconds since 2000-01-01.
    pub fn early_flush(&self) -> i64 {
        self.early_flush.load(Acquire)
    }

    /// Whether that is due. What becomes dirty after this sets a new time.
    pub fn take_early_flush(&self, now: i64) -> bool {
        self.early_flush() <= now && self.early_flush.swap(i64::MAX, AcqRel) <= now
    }

    /// It was due and has not been done.
    pub fn put_back_early_flush(&self, now: i64) {
        self.early_flush.fetch_min(now, AcqRel);
    }

    /// The next pass must purge, however long it is until the next purge.
    pub fn hurry_purge(&self) {
        self.purge_hurries.store(1, Release);
    }

    /// Whether the next pass must purge.
    pub fn purge_hurries(&self) -> bool {
        self.purge_hurries.load(Acquire) != 0
    }

    /// When the next purge is due, by a clock that says `now`, in microseconds since 2000-01-01.
    pub fn next_purge(&self, now: i64) -> i64 {
        match self.purge.next(now) {
            // It has never been done, or by a clock that was ahead.
            i64::MIN => i64::MIN,
            next => next.max(self.purge_due.at(now)),
        }
    }

    /// A purge begins at the first page, so it will find what there was to hurry for. Returns whether there was something.
    pub fn purge_begins(&self, control: &Control, now: i64) -> bool {
        let hurries = self.purge_hurries.swap(0, AcqRel) != 0;
        self.unrecorded_at_purge.copy_from(&self.unrecorded.limits());
        // Sessions that a bound does not count are due, or sessions are due earlier by a clock that was set back.
        if hurries || !self.unrecorded.limits().is_none() || self.purge.next(now) == i64::MIN {
            self.purge_due.begin_epoch(control);
        }
        self.purge_due.purge_begins();
        hurries
    }

    /// The purge has ended: the sessions that the unrecorded limits stood for are deleted, or were added to them again.
    ///
    /// `latest` is when the next purge is due whatever the pages hold, in microseconds since 2000-01-01.
    pub fn purge_ends(&self, latest: i64) {
        self.purge_due.purge_ended(latest);
        self.unrecorded.drop_unless_added(&self.unrecorded_at_purge.limits());
    }

    /// The unrecorded limits to be saved over a restart, if there are any.
    pub fn unrecorded_to_save(&self) -> Option<UnrecordedLimits> {
        let limits = self.unrecorded.limits();
        (!limits.is_none()).then_some(limits)
    }

    /// Restores unrecorded limits. At the start of the server, while there are no other processes.
    pub fn restore_unrecorded(&self, saved: &UnrecordedLimits) {
        self.unrecorded.restore(saved);
        self.hurry_purge();
    }

    /// The registry is full, and a flush of this database would make room. Returns whether that was not known yet.
    pub fn make_room_soon(&self) -> bool {
        let was_unknown = self.full.swap(1, AcqRel) == 0;
        if was_unknown {
            self.set_dirty();
            self.set_urgent();
        }
        was_unknown
    }

    /// Something cannot wait for the next interval.
    pub fn set_urgent(&self) {
        self.urgent.store(1, Release);
    }

    /// Clears the urgent bit. The caller looks for what it was set for after this.
    pub fn take_urgent(&self) {
        self.urgent.swap(0, SeqCst);
    }

    /// Whether something cannot wait.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Acquire) != 0
    }

    /// Gives the place to a database. Under the lock of the list.
    pub(super) fn assign(&self, control: &Control, oid: Oid) {
        self.set_presence(Presence::Unknown);
        self.invalidations.store(0, Relaxed);
        self.parameters_changed(control);
        for word in [
            &self.dirty,
            &self.urgent,
            &self.full,
            &self.failure_logged,
            &self.expire_from,
            &self.flush_from,
            &self.purge_from,
            &self.failures,
            &self.purge_hurries,
            &self.worker,
            &self.lock_waits,
            &self.last_error,
        ] {
            word.store(0, Relaxed);
        }
        self.unrecorded.clear();
        self.flush.make_due();
        self.early_flush.store(i64::MAX, Relaxed);
        self.purge.make_due();
        for time in [
            &self.last_pass,
            &self.not_before,
            &self.full_logged,
            &self.retention_began,
        ] {
            time.store(i64::MIN, Relaxed);
        }
        for count in [&self.flushed, &self.expired, &self.purged] {
            count.store(0, Relaxed);
        }
        self.files.store(0, Relaxed);
        self.registration.fetch_add(1, AcqRel);
        self.oid.store(oid.into(), Release);
    }

    /// A pass ended with this SQLSTATE because a lock was not free. The next one waits, twice as long each time in a row.
    pub fn was_locked(&self, now: i64, code: i32) {
        let n = self.lock_waits.fetch_add(1, AcqRel).saturating_add(1);
        self.last_error.store(code as u32, Release);
        self.not_before.store(now.saturating_add(backoff(LATER, n)), Release);
    }

    /// A pass failed with this SQLSTATE, as PostgreSQL encodes it.
    pub fn has_failed(&self, code: i32) {
        self.last_error.store(code as u32, Release);
        self.failures.fetch_add(1, AcqRel);
    }

    /// A pass has succeeded: what was wrong is over.
    pub fn has_succeeded(&self) {
        self.failures.store(0, Release);
        self.failure_logged.store(0, Release);
        self.lock_waits.store(0, Release);
    }

    /// The launcher has seen the database: from here on DROP DATABASE frees its place.
    pub fn set_watched(&self) {
        self.files.store(0, Release);
    }

    /// Frees the place. Under the lock of the list.
    pub(super) fn free(&self, control: &Control) {
        self.oid.store(0, Release);
        self.registration.fetch_add(1, AcqRel);
        control.places_freed.fetch_add(1, AcqRel);
    }
}

static LAST_FOUND: BackendLocal<Cell<Option<&'static Database>>> = BackendLocal::new(Cell::new(None));

/// The place of a database, `None` if it has none. Takes no lock: the place can be freed meanwhile.
pub fn find_unlocked(databases: &'static [Database], oid: Oid) -> Option<&'static Database> {
    if let Some(found) = LAST_FOUND.get()
        && found.oid() == oid
    {
        return Some(found);
    }
    let found = databases.iter().find(|database| database.oid() == oid)?;
    LAST_FOUND.set(Some(found));
    Some(found)
}
