//! The extension's own tables and sequences.
//!
//! They are what `pg_depend` says are members of the extension: a name alone, which somebody could take, is not enough.
//! What was found is kept until PostgreSQL tells that one of them changed, or that anything may have; a backend looks
//! them up once in a lifetime, usually.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::error::Error;

/// The name of the extension in `pg_extension`.
const EXTENSION: &CStr = c"inactive_session_timeout";

/// The schema that the install script makes.
const SCHEMA: &CStr = c"session_timeout";

/// The OIDs of what the extension keeps.
#[derive(Clone, Copy)]
pub struct Objects {
    /// `session_timeout.session`
    pub session: Oid,
    /// `session_timeout.session_version_seq`
    pub session_version: Oid,
    /// `session_timeout.session_event`
    pub session_event: Oid,
    /// `session_timeout.session_event_id_seq`
    pub session_event_id: Oid,
    /// `session_timeout.config_parameter`
    pub config_parameter: Oid,
    /// `session_timeout.config_parameter_id_seq`
    pub config_parameter_id: Oid,
}

impl Objects {
    fn contains(&self, oid: Oid) -> bool {
        [self.session, self.session_event, self.config_parameter].contains(&oid)
    }
}

thread_local! {
    static FOUND: Cell<Option<Objects>> = const { Cell::new(None) };
}

/// The extension's objects in this database.
///
/// # Errors
/// 55000 where the extension is not installed.
pub fn objects() -> Result<Objects, Error> {
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let found = look_up().ok_or(Error::NotInstalled)?;
    FOUND.set(Some(found));
    Ok(found)
}

/// What was found last, where it still holds.
pub fn known() -> Option<Objects> {
    FOUND.get()
}

/// To be called once, at load: forgets what was found when it may have changed.
pub fn register_callbacks() {
    // SAFETY: the callback only clears a cell.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0_usize)) };
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: Oid) {
    if FOUND
        .get()
        .is_some_and(|found| relation == Oid::INVALID || found.contains(relation))
    {
        FOUND.set(None);
    }
}

fn look_up() -> Option<Objects> {
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
    let member = |name: &CStr| {
        // SAFETY: as above; both look into the system catalogs. The name says which is meant, pg_depend that it is ours.
        unsafe {
            let oid = pg_sys::get_relname_relid(name.as_ptr(), schema);
            (oid != Oid::INVALID && pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, oid) == extension)
                .then_some(oid)
        }
    };
    Some(Objects {
        session: member(c"session")?,
        session_version: member(c"session_version_seq")?,
        session_event: member(c"session_event")?,
        session_event_id: member(c"session_event_id_seq")?,
        config_parameter: member(c"config_parameter")?,
        config_parameter_id: member(c"config_parameter_id_seq")?,
    })
}
