//! What a function needs of its surroundings, collected once and handed down.

use std::rc::Rc;

use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::Row;

use super::known::Known;
use crate::catalog::{self, Objects};
use crate::error::Error;
use crate::params_cache;
use crate::pg::modification::Writer;
use crate::shared::attached::Attached;

/// Shared memory, if there is some, and the extension's objects.
#[derive(Clone, Copy)]
pub struct Context {
    /// Shared memory; `None` if the library was not preloaded.
    pub attached: Option<Attached>,
    /// The extension's objects in this database.
    pub objects: Objects,
}

impl Context {
    /// With the cached objects.
    ///
    /// # Errors
    /// 55000 if the extension is not installed.
    pub fn current() -> Result<Self, Error> {
        Ok(Self {
            objects: catalog::objects()?,
            attached: Attached::current(),
        })
    }

    /// With the objects as of the newest commit, for functions that lock the tables.
    ///
    /// # Errors
    /// 55000 if the extension is not installed.
    pub fn newest() -> Result<Self, Error> {
        Ok(Self {
            objects: catalog::newest_objects()?,
            attached: Attached::current(),
        })
    }

    /// The parameters in force now.
    pub fn params(&self) -> Result<Rc<Params>, Error> {
        params_cache::current(self.attached.as_ref())
    }

    /// A row of a session was written. To be called before the commit, unless a trigger has seen that row.
    pub fn page_written(&self, writer: &Writer) {
        if let Some(attached) = &self.attached {
            attached.page_written(writer.table().file_number(), writer.written_page());
        }
    }

    /// What is known of the session in a row.
    pub fn known(&self, digest: &Digest, row: &Row) -> Known {
        Known::of(self.attached.as_ref(), &self.objects.key(digest), row)
    }
}
