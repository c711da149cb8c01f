//! The extension's own tables and sequences in the current database.
//!
//! They are found by name and by `pg_depend`, which says that they belong to the extension: a name alone could be taken by
//! somebody else. The result is cached until PostgreSQL sends an invalidation for one of them, or for everything; a backend
//! usually looks them up once.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::digest::Digest;
use session_timeout_core::registry::Key;

use crate::error::Error;
use crate::pg::backend_local::BackendLocal;
use crate::pg::cached::Cached;
use crate::pg::shape::TableRef;
use crate::pg::transaction::{accept_invalidations, my_database};
use crate::rows::{config_parameter, session, session_event};

/// The name of the extension in `pg_extension`.
const EXTENSION: &CStr = c"inactive_session_timeout";

/// The schema that the install script creates.
const SCHEMA: &CStr = c"session_timeout";

/// The extension's tables, and the OIDs of its sequences.
#[derive(Clone, Copy)]
pub struct Objects {
    /// `session_timeout.session`
    pub session: TableRef,
    /// `session_timeout.session_version_seq`
    pub session_version: Oid,
    /// `session_timeout.session_event`
    pub session_event: TableRef,
    /// `session_timeout.session_event_id_seq`
    pub session_event_id: Oid,
    /// `session_timeout.config_parameter`
    pub config_parameter: TableRef,
    /// `session_timeout.config_parameter_id_seq`
    pub config_parameter_id: Oid,
}

impl Objects {
    fn contains(&self, oid: Oid) -> bool {
        [self.session, self.session_event, self.config_parameter]
            .iter()
            .any(|table| table.oid == oid)
    }

    /// The registry's key of a session of this database.
    pub fn key(&self, digest: &Digest) -> Key {
        Key {
            database: my_database().into(),
            table: self.session.oid.into(),
            digest: *digest,
        }
    }
}

static OBJECTS: BackendLocal<Cached<Objects>> = BackendLocal::new(Cached::new());

/// The extension's objects in this database.
///
/// # Errors
/// 55000 if the extension is not installed, or if one of them is missing.
pub fn objects() -> Result<Objects, Error> {
    match cached() {
        Some(objects) => Ok(objects),
        None => OBJECTS.with(|cache| cache.compute(|| look_up().ok_or_else(why_not_found))),
    }
}

fn why_not_found() -> Error {
    // SAFETY: within a transaction.
    let extension = unsafe { pg_sys::get_extension_oid(EXTENSION.as_ptr(), true) };
    if extension == Oid::INVALID {
        Error::NotInstalled
    } else {
        Error::ObjectsMissing
    }
}

/// Whether there is a relation of this OID, as of the newest commit.
pub fn relation_exists(oid: Oid) -> bool {
    accept_invalidations();
    // SAFETY: within a transaction; the name is a copy.
    unsafe { !pg_sys::get_rel_name(oid).is_null() }
}

/// As [`objects`], as of the newest commit of any backend: for functions that lock the tables.
///
/// # Errors
/// As [`objects`].
pub fn newest_objects() -> Result<Objects, Error> {
    accept_invalidations();
    objects()
}

/// The cached objects, unless they were invalidated.
pub fn cached() -> Option<Objects> {
    OBJECTS.with(Cached::get)
}

/// Must be called once, when the library is loaded.
pub fn register_callbacks() {
    // SAFETY: the callback only counts.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0_usize)) };
}

#[pg_guard]
unsafe extern "C-unwind" fn on_invalidation(_argument: pg_sys::Datum, relation: Oid) {
    if relation == Oid::INVALID || cached().is_none_or(|objects| objects.contains(relation)) {
        OBJECTS.with(Cached::invalidate);
    }
}

/// The OID of the session table, even if other objects of the extension are missing.
pub fn session_table() -> Option<Oid> {
    cached()
        .map(|objects| objects.session.oid)
        .or_else(|| members()?(c"session"))
}

/// A function that finds members of the extension by name; `None` if the extension is not installed.
fn members() -> Option<impl Fn(&CStr) -> Option<Oid>> {
    // SAFETY: within a transaction, as SQL functions are.
    let (extension, schema) = unsafe {
        (
            pg_sys::get_extension_oid(EXTENSION.as_ptr(), true),
            pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true),
        )
    };
    if extension == Oid::INVALID || schema == Oid::INVALID {
        return None;
    }
    Some(move |name: &CStr| {
        // SAFETY: as above; both look into the system catalogs.
        unsafe {
            let oid = pg_sys::get_relname_relid(name.as_ptr(), schema);
            (oid != Oid::INVALID && pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, oid) == extension)
                .then_some(oid)
        }
    })
}

fn look_up() -> Option<Objects> {
    let member = members()?;
    Some(Objects {
        session: session::table(member(c"session")?),
        session_version: member(c"session_version_seq")?,
        session_event: session_event::table(member(c"session_event")?),
        session_event_id: member(c"session_event_id_seq")?,
        config_parameter: config_parameter::table(member(c"config_parameter")?),
        config_parameter_id: member(c"config_parameter_id_seq")?,
    })
}
