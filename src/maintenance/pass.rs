//! One pass over a database: expire what is marked, flush what is dirty, purge what is past its limit.
//!
//! | step | finds its sessions | transaction | tells the registry, after the commit |
//! | --- | --- | --- | --- |
//! | expire | marks in the registry | up to [`BATCH`] rows deleted, with events and notices | `ended` |
//! | flush | unflushed activity in the registry | up to [`BATCH`] rows updated, those without room on their page in further ones | `flushed`, or `ended` where the row is gone |
//! | purge | [`PAGES`] pages of the heap | the rows that are past a limit, once marked: deleted, as above | `ended` |
//! | | | clocks that are later than now are set to it | as every transaction that changes sessions does |
//! | retention | the oldest events | up to [`BATCH`] rows deleted | |
//!
//! No step waits for a row or for a table's lock: what is another's is left for next time. A row is touched only where
//! its version is the one that is meant. A crash before a commit leaves the registry's word: it is gone with the crash,
//! or, where only the worker died, still says what there is to do. A crash after a commit and before the registry is
//! told leaves an entry of a row that is gone or newer: the next look at it says so.

use std::cell::RefCell;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::{Key, Marked, Seen, Wanted};
use session_timeout_core::time::to_micros;
use session_timeout_core::verdict::{Judgement, Request, is_ahead, judge};

use super::PASS;
use super::ender::Ender;
use crate::catalog::{self, Objects};
use crate::ending;
use crate::error::Error;
use crate::session::flush::{Flushed, Flusher, Placement};
use crate::session::{Known, ahead};
use crate::shared::Shared;
use crate::shared::database::{Database, Presence};
use crate::store::finder::Finder;
use crate::store::session_row::SessionRow;
use crate::store::table::Table;
use crate::store::write::Writer;
use crate::store::{Scratch, scan};
use crate::transaction::key_of;
use crate::{clock, settings};

/// Rows of one transaction.
pub const BATCH: usize = 500;

/// How often in a pass, and after how many microseconds each time, the flush tries again where pages could not be pruned.
/// After that, updates go to other pages at once.
const FLUSH_TRIES: u32 = 20;
const FLUSH_PAUSE: std::ffi::c_long = 10_000;

/// Heap pages of one transaction of the purge.
pub const PAGES: u32 = 32;

/// How often, and after how many microseconds each time, the worker tries to send what could not be sent.
const NOTICE_TRIES: usize = 10;
const NOTICE_PAUSE: std::ffi::c_long = 20_000;

/// How a step ended, or the pass: where steps ended differently, the last of these has the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// There is no extension in this database.
    NotInstalled,
    /// Everything is done.
    Done,
    /// Time was up before everything was done.
    More,
    /// Something was another's: a table or a marked row was locked.
    Later,
}

/// What a step failed of.
pub struct Failure {
    /// SQLSTATE.
    pub code: PgSqlErrorCode,
    /// What was wrong.
    pub message: String,
}

impl Failure {
    /// Somebody else holds a lock for longer than a worker waits. That is not this database's failure to do its work.
    pub fn is_lock_wait(&self) -> bool {
        [
            PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE,
            PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED,
        ]
        .contains(&self.code)
    }
}

/// Runs a pass. Not in a transaction. A step that fails keeps no other from its turn; the first failure is answered, and one
/// by a lock only where there is no other.
pub fn run(shared: &'static Shared, database: &'static Database, was_dirty: bool) -> Result<Ended, Failure> {
    let deadline = Instant::now() + PASS;
    let pass = match step(|| Pass::begin(shared, database, deadline))? {
        Begun::Pass(pass) => pass,
        Begun::Ended(ended) => return Ok(ended),
    };
    // A change of these takes effect here, however long the interval was before.
    database
        .flush
        .set_every(to_micros(pass.params.flush_interval_in_force()));
    database.purge.set_every(to_micros(pass.params.purge_interval));
    let expired = step(|| pass.expire_marked());
    let flushed = step(|| pass.flush_if_due(was_dirty));
    let purged = step(|| pass.purge_if_due());
    let sent = step(|| pass.send_what_is_left());
    let mut ended = Ended::Done;
    let mut failures = Vec::new();
    for step in [expired, flushed, purged, sent] {
        match step {
            Ok(how) => ended = ended.max(how),
            Err(failure) => failures.push(failure),
        }
    }
    // A lock says less than whatever else was wrong.
    failures.sort_by_key(Failure::is_lock_wait);
    failures.into_iter().next().map_or(Ok(ended), Err)
}

/// Carries out a step, and rolls back the transaction in which it fails.
fn step<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Failure> {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        work().map_err(|error| {
            let (code, message, _) = error.parts();
            Failure { code, message }
        })
    }))
    .catch_others(|error| {
        // SAFETY: an ERROR was caught: its transaction is to be rolled back.
        unsafe { pg_sys::AbortCurrentTransaction() };
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Err(Failure {
            code: report.sql_error_code(),
            message: report.message().into(),
        })
    })
    .execute()
}

/// What became of the attempt to begin a pass.
enum Begun {
    Pass(Pass),
    Ended(Ended),
}

struct Pass {
    shared: &'static Shared,
    database: &'static Database,
    objects: Objects,
    params: std::rc::Rc<Params>,
    /// Whom the work is done as: the owner of the session table.
    owner: Oid,
    /// By a clock that nobody sets.
    deadline: Instant,
    /// Notices of what is committed, which could not be sent without waiting.
    unsent: RefCell<Vec<CString>>,
}

impl Pass {
    /// Looks whether the extension is there, and reads its parameters, waiting for nobody.
    fn begin(shared: &'static Shared, database: &'static Database, deadline: Instant) -> Result<Begun, Error> {
        in_transaction(None, || {
            let objects = catalog::objects();
            if database.presence() == Presence::Unknown || matches!(objects, Err(Error::NotInstalled)) {
                // Dropped, or created anew, perhaps: nothing of an older one is left.
                forget_dropped_tables(shared, database.oid().into());
            }
            let objects = match objects {
                Ok(objects) => objects,
                Err(Error::NotInstalled) => return Ok(Begun::Ended(Ended::NotInstalled)),
                Err(error) => return Err(error),
            };
            let (Some(sessions), Some(params)) = (
                Table::try_open_to_read(objects.session),
                settings::try_current(&objects)?,
            ) else {
                return Ok(Begun::Ended(Ended::Later));
            };
            let owner = sessions.owner();
            Ok(Begun::Pass(Self {
                shared,
                database,
                objects,
                params,
                owner,
                deadline,
                unsent: RefCell::default(),
            }))
        })
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn key(&self, digest: &Digest) -> Key {
        key_of(&self.objects, digest)
    }

    /// Calls `work` with batches of the registry's entries, once around all slots. It begins where it ended last, as `from`
    /// says, so that all have their turn however little time there is, and however often some of them are wanted again.
    fn batches(
        &self,
        wanted: Wanted,
        from: &AtomicU32,
        mut work: impl FnMut(&[Seen]) -> Result<Ended, Error>,
    ) -> Result<Ended, Error> {
        let registry = &self.shared.registry;
        let (database, table) = (self.database.oid().into(), self.objects.session.into());
        let mut round = registry.round(from.load(Relaxed) as usize);
        let mut batch: Vec<Seen> = Vec::with_capacity(BATCH);
        let mut ended = Ended::Done;
        loop {
            pgrx::check_for_interrupts!();
            registry.collect(&mut round, database, table, wanted, &mut batch);
            if !round.is_over() && batch.len() < BATCH {
                continue;
            }
            if !batch.is_empty() {
                ended = ended.max(work(&batch)?);
                batch.clear();
            }
            if round.is_over() {
                return Ok(ended);
            }
            if self.is_over() {
                from.store(round.slot() as u32, Relaxed);
                return Ok(ended.max(Ended::More));
            }
        }
    }

    fn expire_marked(&self) -> Result<Ended, Error> {
        self.batches(Wanted::Marked, &self.database.expire_from, |batch| {
            let mut gone: Vec<(Digest, i64)> = Vec::with_capacity(batch.len());
            let expired = in_transaction(Some(self.owner), || {
                let Some(mut ender) = Ender::open(&self.objects)? else {
                    return Ok(0);
                };
                for seen in batch {
                    let Some(mark) = seen.mark else { continue };
                    if ender.end(&seen.digest, seen.version, mark)? {
                        gone.push((seen.digest, seen.version));
                    }
                }
                Ok(ender.announce(&self.unsent))
            })?;
            self.forget(&gone);
            self.database.expired.fetch_add(expired as u64, Relaxed);
            Ok(if gone.len() < batch.len() {
                Ended::Later
            } else {
                Ended::Done
            })
        })
    }

    /// Flushes where that is due; where it has not come to an end, the next pass goes on with it.
    fn flush_if_due(&self, was_dirty: bool) -> Result<Ended, Error> {
        let now = clock::now().micros();
        let next = self.database.flush.next(now);
        let is_full = self.database.full.swap(0, AcqRel) != 0;
        let is_due = if was_dirty { now >= next } else { next == i64::MIN };
        let ended = if is_due || is_full { self.flush()? } else { Ended::Done };
        if ended != Ended::Done || was_dirty && !is_due && !is_full {
            self.database.set_dirty();
        } else if is_due || is_full {
            self.database.flush.done(now);
        }
        Ok(ended)
    }

    fn flush(&self) -> Result<Ended, Error> {
        // How often it may still wait for a page that cannot be pruned.
        let mut patience = FLUSH_TRIES;
        self.batches(Wanted::Dirty, &self.database.flush_from, |batch| {
            let mut rest = batch.to_vec();
            while !rest.is_empty() {
                let placement = if patience == 0 || self.is_over() {
                    Placement::AnyPage
                } else {
                    Placement::SamePage
                };
                let Some(crowded) = self.flush_in_transaction(&rest, placement)? else {
                    return Ok(Ended::Later);
                };
                if crowded.len() == rest.len() {
                    // Somebody's snapshot still needs what was replaced, or somebody is looking at the page: mostly for
                    // moments.
                    patience -= 1;
                    pause(FLUSH_PAUSE);
                }
                rest = crowded;
            }
            Ok(Ended::Done)
        })
    }

    /// Flushes these, and answers which are left for want of room on their page; `None` where the table is locked by others.
    fn flush_in_transaction(&self, batch: &[Seen], placement: Placement) -> Result<Option<Vec<Seen>>, Error> {
        let mut known: Vec<Seen> = Vec::with_capacity(batch.len());
        let (mut gone, mut crowded, mut is_left) = (Vec::new(), Vec::new(), false);
        let written = in_transaction(Some(self.owner), || {
            let Some(writer) = Writer::try_open(self.objects.session) else {
                return Ok(None);
            };
            let mut flusher = Flusher::new(writer);
            let mut written = 0;
            for seen in batch {
                let flushed = flusher.write(seen, placement)?;
                match flushed {
                    Flushed::Written | Flushed::Known => known.push(*seen),
                    Flushed::Gone => gone.push((seen.digest, seen.version)),
                    Flushed::Busy => is_left = true,
                    Flushed::Crowded => crowded.push(*seen),
                }
                written += u64::from(flushed == Flushed::Written);
            }
            Ok(Some(written))
        })?;
        let Some(written) = written else { return Ok(None) };
        for seen in &known {
            let key = self.key(&seen.digest);
            is_left |= self.shared.registry.flushed(&key, seen.version, seen.activity);
        }
        self.forget(&gone);
        if is_left {
            self.database.set_dirty();
        }
        self.database.flushed.fetch_add(written, Relaxed);
        Ok(Some(crowded))
    }

    /// Purges where that is due, or has not come to its end.
    fn purge_if_due(&self) -> Result<Ended, Error> {
        let now = clock::now().micros();
        let is_at_it = self.database.purge_from.load(Acquire) != 0;
        if now < self.database.purge.next(now) && !self.database.purge_hurries() && !is_at_it {
            return Ok(Ended::Done);
        }
        // One that is at it goes on first.
        if !is_at_it {
            self.database.purge_begins();
        }
        let purged = self.purge();
        if !matches!(purged, Ok(Ended::Done)) && self.database.purge_from.load(Acquire) == 0 {
            // It has not even got over the first pages: what there was to hurry for is still there.
            self.database.hurry_purge();
        }
        let ended = match purged? {
            Ended::Done => self.forget_old_events()?,
            ended => ended,
        };
        if ended == Ended::Done {
            self.database.purge_ends();
            self.database.purge.done(now);
            if self.database.purge_hurries() {
                return Ok(Ended::More);
            }
        }
        Ok(ended)
    }

    /// Goes on with the purge where the last pass left it.
    fn purge(&self) -> Result<Ended, Error> {
        loop {
            let from = self.database.purge_from.load(Acquire);
            let (mut gone, mut ahead) = (Vec::new(), Vec::new());
            let purged = in_transaction(Some(self.owner), || self.purge_pages(from, &mut gone, &mut ahead))?;
            let Some((purged, is_end)) = purged else {
                return Ok(Ended::Later);
            };
            self.forget(&gone);
            self.database.purged.fetch_add(purged as u64, Relaxed);
            match self.set_back(&ahead)? {
                Ended::Done => {}
                ended => return Ok(ended),
            }
            self.database
                .purge_from
                .store(if is_end { 0 } else { from.saturating_add(PAGES) }, Release);
            if is_end {
                return Ok(Ended::Done);
            }
            if self.is_over() {
                return Ok(Ended::More);
            }
        }
    }

    /// Ends the sessions of these pages that are past a limit, and says which openings are `gone`, and which have clocks
    /// that are `ahead`. How many ended, and whether these pages were the last; `None` where a table is locked by others.
    fn purge_pages(
        &self,
        from: u32,
        gone: &mut Vec<(Digest, i64)>,
        ahead: &mut Vec<(Digest, i64)>,
    ) -> Result<Option<(usize, bool)>, Error> {
        let Some(mut ender) = Ender::open(&self.objects)? else {
            return Ok(None);
        };
        // As they are now, not as they were when the pass began.
        let params = ender.params();
        let limits = self.database.unrecorded.limits();
        let now = clock::now();
        let mut candidates = Vec::new();
        let mut scratch = Scratch::new();
        // Held until they are deleted, so that their places stay their own.
        let mut finder = Finder::new(ender.table().again());
        let is_end = scan::rows_of_pages(ender.table(), finder.snapshot(), from, PAGES, |version| {
            scratch.run(|| {
                let row = version.row();
                let Some(digest) = version.digest() else { return };
                match judge(&row.session, &params, Request::Look, now) {
                    Judgement::Expired(expiry) => candidates.push((version.tid(), digest, row, Some(expiry))),
                    Judgement::Valid { .. } if limits.expiry(&row.session, now).is_some() => {
                        candidates.push((version.tid(), digest, row, None));
                    }
                    Judgement::Valid { .. } if is_ahead(&row.session, now) => ahead.push((digest, row.version)),
                    Judgement::Valid { .. } => {}
                }
            });
        });
        for (tid, digest, row, by_row) in candidates {
            let registry = &self.shared.registry;
            let (expiry, is_recorded) = match by_row {
                Some(by_row) => match registry.mark_expired(&self.key(&digest), &row, &params, now, false) {
                    Marked::Yes(mark) => (mark, true),
                    Marked::No => continue,
                    // What replaces it is yet to be judged.
                    Marked::Over => {
                        if let Some(expiry) = limits.expiry(&row.session, now) {
                            self.database.unrecorded.add(&row.session, expiry, now);
                        }
                        continue;
                    }
                    // No check can have cached it either.
                    Marked::Full => (by_row, false),
                },
                // No check lets it in, unless by an entry that there is.
                None => match Known::of(&self.objects, &digest, &row).mark {
                    Some(expiry) => (expiry, false),
                    None => continue,
                },
            };
            // Where that fails, another transaction has changed it, or has locked it in a way that may do no harm.
            if ender.end_at(&mut finder, tid, &digest, &row, expiry)? || ender.end(&digest, row.version, expiry)? {
                gone.push((digest, row.version));
            } else if !is_recorded {
                self.database.unrecorded.add(&row.session, expiry, now);
            }
        }
        drop(finder);
        Ok(Some((ender.announce(&self.unsent), is_end)))
    }

    /// Sets clocks of these openings to now that are later.
    fn set_back(&self, ahead: &[(Digest, i64)]) -> Result<Ended, Error> {
        for (n, batch) in ahead.chunks(ahead::MOST).enumerate() {
            if n > 0 && self.is_over() {
                return Ok(Ended::More);
            }
            let is_done = in_transaction(Some(self.owner), || {
                let Some(mut writer) = Writer::try_open(self.objects.session) else {
                    return Ok(false);
                };
                for (digest, version) in batch {
                    ahead::set_back(&self.objects, &mut writer, digest, *version)?;
                }
                Ok(true)
            })?;
            if !is_done {
                return Ok(Ended::Later);
            }
        }
        Ok(Ended::Done)
    }

    fn forget_old_events(&self) -> Result<Ended, Error> {
        let retention = self.params.event_retention.unwrap_or_default();
        loop {
            let deleted = in_transaction(Some(self.owner), || {
                let oldest_kept = clock::now().saturating_add(-retention);
                ending::delete_oldest_events(&self.objects, oldest_kept, BATCH)
            })?;
            if deleted < BATCH {
                return Ok(Ended::Done);
            }
            if self.is_over() {
                return Ok(Ended::More);
            }
        }
    }

    /// Sends the notices that had to wait, if that can be done within moments: a notice is a hint.
    fn send_what_is_left(&self) -> Result<Ended, Error> {
        for _ in 0..NOTICE_TRIES {
            if self.unsent.borrow().is_empty() {
                break;
            }
            pause(NOTICE_PAUSE);
            in_transaction(None, || Ok(ending::try_send(&mut self.unsent.borrow_mut())))?;
        }
        Ok(Ended::Done)
    }

    /// What was committed: these openings are over.
    fn forget(&self, gone: &[(Digest, i64)]) {
        for (digest, version) in gone {
            self.shared.registry.ended(&self.key(digest), *version);
        }
    }
}

/// Forgets a database's sessions of tables that are no more. One that was made meanwhile is there, and its sessions stay.
fn forget_dropped_tables(shared: &'static Shared, database: u32) {
    let mut seen = Vec::new();
    while let Some(table) = shared.registry.table_other_than(database, &seen) {
        if !catalog::relation_exists(Oid::from(table)) {
            shared.registry.forget(database, Some(table));
        }
        seen.push(table);
    }
}

/// Sleeps for so many microseconds. Not in a transaction.
fn pause(microseconds: std::ffi::c_long) {
    // SAFETY: sleeps; a signal that ends the worker is looked for after it.
    unsafe { pg_sys::pg_usleep(microseconds) };
    pgrx::check_for_interrupts!();
}

/// Runs `work` in a transaction of its own; an error rolls it back. As `user`, security-restricted, where one is given.
fn in_transaction<R>(user: Option<Oid>, work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // SAFETY: called outside a transaction. What an ERROR leaves is rolled back by whoever catches it; user and security
    // context are PostgreSQL's to restore then.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, c"session maintenance".as_ptr());
        if let Some(user) = user {
            let context = pg_sys::SECURITY_RESTRICTED_OPERATION | pg_sys::SECURITY_LOCAL_USERID_CHANGE;
            pg_sys::SetUserIdAndSecContext(user, context as i32);
        }
        let result = work();
        pg_sys::PopActiveSnapshot();
        match result {
            Ok(value) => {
                pg_sys::CommitTransactionCommand();
                pg_sys::SetUserIdAndSecContext(pg_sys::GetSessionUserId(), 0);
                pgrx::check_for_interrupts!();
                Ok(value)
            }
            Err(error) => {
                pg_sys::AbortCurrentTransaction();
                Err(error)
            }
        }
    }
}
