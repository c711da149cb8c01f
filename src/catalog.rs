//! The extension's own tables and sequences.
//!
//! They are what `pg_depend` says are members of the extension: a name alone, which somebody could take, is not enough.
//! What was found is kept until PostgreSQL tells that one of them changed, or that anything may have; a backend looks
//! them up once in a lifetime, usually.

use std::ffi::{CStr, c_void};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

use crate::error::Error;
use crate::kept::Kept;
use crate::process::PerProcess;
use crate::{maintenance, shared, transaction};

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

static FOUND: PerProcess<Kept<Objects>> = PerProcess::new(Kept::new());

/// The extension's objects in this database.
///
/// # Errors
/// 55000 where the extension is not installed, or is not whole.
pub fn objects() -> Result<Objects, Error> {
    match known() {
        Some(found) => Ok(found),
        None => FOUND.with(|kept| kept.make(|| look_up().ok_or_else(why_not_found))),
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

/// Whether there is a relation of this OID, by the newest commit.
pub fn relation_exists(oid: Oid) -> bool {
    // SAFETY: within a transaction; the name is a copy.
    unsafe {
        pg_sys::AcceptInvalidationMessages();
        !pg_sys::get_rel_name(oid).is_null()
    }
}

/// As [`objects`], with all that other backends have committed until now: for functions that lock the tables.
///
/// # Errors
/// 55000 where the extension is not installed.
pub fn newest_objects() -> Result<Objects, Error> {
    // SAFETY: within a transaction.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    objects()
}

/// What was found last, where it still holds.
pub fn known() -> Option<Objects> {
    FOUND.with(Kept::get)
}

/// To be called once, at load: forgets what was found when it may have changed, and notices DROP EXTENSION.
pub fn register_callbacks() {
    // SAFETY: the callback only counts; hooks are chained.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0_usize));
        PREVIOUS_ACCESS = pg_sys::object_access_hook;
        pg_sys::object_access_hook = Some(on_access);
    }
}

static mut PREVIOUS_ACCESS: pg_sys::object_access_hook_type = None;

/// The table of sessions is dropped: at the commit, nothing that memory holds of them counts any more, and the launcher
/// is told. A database is dropped: before the commit, nothing of it is left in memory.
#[pg_guard]
unsafe extern "C-unwind" fn on_access(
    access: pg_sys::ObjectAccessType::Type,
    class: Oid,
    object: Oid,
    part: i32,
    argument: *mut c_void,
) {
    // SAFETY: as PostgreSQL called this.
    unsafe {
        if let Some(previous) = PREVIOUS_ACCESS {
            pg_sys::ffi::pg_guard_ffi_boundary(|| previous(access, class, object, part, argument));
        }
    }
    if access != pg_sys::ObjectAccessType::OAT_DROP {
        return;
    }
    if class == pg_sys::DatabaseRelationId {
        transaction::database_dropped(object);
        if let Some(shared) = shared::get() {
            maintenance::leave_database(shared, object);
        }
    } else if class == pg_sys::RelationRelationId && part == 0 && session_table() == Some(object) {
        transaction::all_sessions_changed();
        transaction::installation_changed();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: Oid) {
    if relation == Oid::INVALID || known().is_none_or(|found| found.contains(relation)) {
        FOUND.with(Kept::changed);
    }
}

/// The table of sessions, where it is there, whatever else of the extension is not any more.
fn session_table() -> Option<Oid> {
    known().map(|found| found.session).or_else(|| members()?(c"session"))
}

/// Finds members of the extension by name; `None` where the extension is not installed.
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
        // SAFETY: as above; both look into the system catalogs. The name says which is meant, pg_depend that it is ours.
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
        session: member(c"session")?,
        session_version: member(c"session_version_seq")?,
        session_event: member(c"session_event")?,
        session_event_id: member(c"session_event_id_seq")?,
        config_parameter: member(c"config_parameter")?,
        config_parameter_id: member(c"config_parameter_id_seq")?,
    })
}
