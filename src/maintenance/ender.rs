//! Ends sessions that are past a limit: their rows are deleted, with events and notices, in one transaction.

use std::cell::RefCell;
use std::ffi::CString;
use std::rc::Rc;

use pgrx::pg_sys;
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::Row;
use session_timeout_core::verdict::Expiry;

use crate::catalog::Objects;
use crate::ending::{self, Batch};
use crate::error::Error;
use crate::session::{Known, Opening, lock_opening};
use crate::settings;
use crate::store::Scratch;
use crate::store::finder::Finder;
use crate::store::session_row::SessionRow;
use crate::store::table::Table;
use crate::store::write::{Purpose, Writer, Written};

/// The most notices that are kept to be sent later.
const MOST_UNSENT: usize = 2000;

/// What one transaction ends.
pub struct Ender<'o> {
    objects: &'o Objects,
    params: Rc<Params>,
    writer: Writer,
    batch: Batch,
    scratch: Scratch,
}

impl<'o> Ender<'o> {
    /// `None` where a table is locked by others.
    pub fn open(objects: &'o Objects) -> Result<Option<Self>, Error> {
        // Their table is kept locked from here on, so that they can be read again without waiting.
        let Some(params) = settings::try_current(objects)? else {
            return Ok(None);
        };
        let Some(writer) = Writer::try_open(objects.session) else {
            return Ok(None);
        };
        if !ending::can_write_events(objects) {
            return Ok(None);
        }
        Ok(Some(Self {
            objects,
            params,
            writer,
            batch: Batch::new(objects)?,
            scratch: Scratch::new(),
        }))
    }

    /// The parameters as this transaction has them.
    pub fn params(&self) -> Rc<Params> {
        self.params.clone()
    }

    /// The table whose sessions it ends.
    pub fn table(&self) -> &Table {
        self.writer.table()
    }

    /// Ends one opening of a session, waiting for nobody: whether it is over. It is not where its row is another's.
    pub fn end(&mut self, digest: &Digest, version: i64, expiry: Expiry) -> Result<bool, Error> {
        let Self {
            objects,
            writer,
            batch,
            scratch,
            ..
        } = self;
        scratch.run(|| {
            let row = match lock_opening(writer, digest, version, Purpose::Remove)? {
                Opening::Held(row) => row,
                Opening::Gone => return Ok(true),
                Opening::Busy => return Ok(false),
            };
            let known = Known::of(objects, digest, &row.row());
            writer.delete(&row)?;
            batch.add(expiry.into(), *digest, row.user_name(), known.session.last_activity)?;
            Ok(true)
        })
    }

    /// Ends the session whose row is at a place, if that is still its newest version and nobody else has it: whether it did.
    pub fn end_at(
        &mut self,
        finder: &mut Finder,
        tid: pg_sys::ItemPointerData,
        digest: &Digest,
        row: &Row,
        expiry: Expiry,
    ) -> Result<bool, Error> {
        let Self {
            objects,
            writer,
            batch,
            scratch,
            ..
        } = self;
        scratch.run(|| {
            if writer.try_delete(tid) == Written::No {
                return Ok(false);
            }
            let known = Known::of(objects, digest, row);
            let user_name = if batch.keeps_events() {
                finder.fetch(tid).and_then(|version| version.user_name())
            } else {
                None
            };
            batch.add(expiry.into(), *digest, user_name, known.session.last_activity)?;
            Ok(true)
        })
    }

    /// Sends the notices, or leaves them for later where that would have to wait: how many sessions ended.
    pub fn announce(self, unsent: &RefCell<Vec<CString>>) -> usize {
        let ended = self.batch.len();
        let mut notices = unsent.borrow_mut();
        notices.extend(self.batch.into_notices());
        notices.truncate(MOST_UNSENT);
        ending::try_send(&mut notices);
        ended
    }
}
