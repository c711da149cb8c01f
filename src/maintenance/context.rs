//! What the steps of a pass share.

use std::cell::RefCell;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use pgrx::pg_sys::Oid;
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::{EntryFilter, EntryView, Key};

use crate::error::Error;
use crate::params_cache;
use crate::pg::modification::Writer;
use crate::pg::transaction;
use crate::rows::session_event;
use crate::session::context::Context;
use crate::session::end::{self, Batch, RegistryUpdate};
use crate::shared::Shared;
use crate::shared::attached::Attached;
use crate::shared::database::Database;

/// The most notices that are kept to be sent later.
const MAX_UNSENT: usize = 2000;

/// How a step ended, or a pass: the last of these in which one of its steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// The extension is not in this database.
    NotInstalled,
    /// Everything is done.
    Done,
    /// Time was up before everything was done.
    More,
    /// Others had locked something: a table, or the row of an expired session.
    Later,
}

/// What the steps share.
pub struct PassContext {
    pub shared: &'static Shared,
    pub database: &'static Database,
    pub attached: Attached,
    pub session: Context,
    pub params: Rc<Params>,
    /// The owner of the session table: the work is done as this role.
    pub owner: Oid,
    /// By a clock that nobody sets.
    pub deadline: Instant,
    /// Notices of what is committed, which could not be sent without waiting.
    pub unsent: RefCell<Vec<CString>>,
}

impl PassContext {
    /// Whether time is up.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// The registry's key of a session.
    pub fn key(&self, digest: &Digest) -> Key {
        self.session.objects.key(digest)
    }

    /// Runs `work` in a transaction of its own, as the owner of the session table, security-restricted. An error rolls it
    /// back.
    pub fn in_transaction<R>(&self, work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
        transaction::run(Some(self.owner), c"session maintenance", work)
    }

    /// Calls `work` with batches of entries of the registry, once around all slots. It begins at the slot `from`, where it
    /// ended last, so that all entries have their turn however little time there is.
    pub fn batches(
        &self,
        wanted: EntryFilter,
        from: &AtomicU32,
        size: usize,
        mut work: impl FnMut(&[EntryView]) -> Result<Ended, Error>,
    ) -> Result<Ended, Error> {
        let registry = &self.shared.registry;
        let (database, table) = (self.database.oid().into(), self.session.objects.session.oid.into());
        let mut cursor = registry.scan(from.load(Relaxed) as usize);
        let mut batch: Vec<EntryView> = Vec::with_capacity(size);
        let mut ended = Ended::Done;
        loop {
            pgrx::check_for_interrupts!();
            registry.collect(&mut cursor, database, table, wanted, &mut batch);
            if !cursor.is_done() && batch.len() < size {
                continue;
            }
            if !batch.is_empty() {
                ended = ended.max(work(&batch)?);
                batch.clear();
            }
            if cursor.is_done() {
                return Ok(ended);
            }
            if self.is_over() {
                from.store(cursor.slot() as u32, Relaxed);
                return Ok(ended.max(Ended::More));
            }
        }
    }

    /// The tables in which sessions end, and the parameters as of now; `None` if others have locked one of the tables.
    pub fn open_to_end(&self) -> Result<Option<EndTransaction>, Error> {
        let Some(params) = params_cache::try_current(&self.attached)? else {
            return Ok(None);
        };
        let Some(writer) = Writer::try_open(self.session.objects.session) else {
            return Ok(None);
        };
        if !session_event::try_lock_to_write(self.session.objects.session_event) {
            return Ok(None);
        }
        Ok(Some(EndTransaction {
            params,
            writer,
            batch: Batch::new(&self.session, RegistryUpdate::ByCaller)?,
        }))
    }

    /// Sends the notices of a batch, or keeps them if that would have to wait. Returns how many sessions ended.
    pub fn send_or_keep(&self, batch: Batch) -> usize {
        let ended = batch.len();
        let mut notices = self.unsent.borrow_mut();
        notices.extend(batch.into_notices());
        notices.truncate(MAX_UNSENT);
        end::try_send(&mut notices);
        ended
    }

    /// Reports to the registry, after the commit, that these logins have ended.
    pub fn report_ended(&self, logins: &[(Digest, i64)]) {
        for (digest, version) in logins {
            self.shared.registry.ended(&self.key(digest), *version);
        }
    }
}

/// A transaction that ends sessions.
pub struct EndTransaction {
    /// The parameters as this transaction sees them.
    pub params: Rc<Params>,
    /// The session table.
    pub writer: Writer,
    /// What it ends.
    pub batch: Batch,
}
