//! The parameters, parsed once per backend.
//!
//! They are read from `config_parameter` as of the newest commit, with the current transaction's own changes, and cached
//! until they change:
//!
//! - With the library preloaded, a check compares one number in shared memory, which every commit of a change increases.
//! - Without it, the trigger on the table sends a relcache invalidation, which every backend processes at its next check,
//!   and which a rollback takes back. So it is on a standby, and in a transaction that has changed parameters itself.

use std::rc::Rc;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::params::{self, Key, Params};

use crate::catalog;
use crate::error::Error;
use crate::pg::backend_local::BackendLocal;
use crate::pg::cached::Cached;
use crate::pg::datum::text_bytes;
use crate::pg::relation::Table;
use crate::pg::snapshot::LatestSnapshot;
use crate::pg::transaction::accept_invalidations;
use crate::rows::config_parameter::{self, column};
use crate::shared::attached::Attached;
use crate::xact::notes;

/// The parameters, and the generation in shared memory at which they were read, if there was one.
static PARAMS: BackendLocal<Cached<(Option<u64>, Rc<Params>)>> = BackendLocal::new(Cached::new());

/// The parameters in force. `attached` is shared memory, if there is some.
///
/// # Errors
/// 55000 if the extension is not installed.
pub fn current(attached: Option<&Attached>) -> Result<Rc<Params>, Error> {
    // A transaction that has changed parameters sees them by its own invalidations.
    let generation = attached
        .filter(|_| !notes::has_changed_parameters())
        .and_then(Attached::parameter_generation);
    if generation.is_none() {
        accept_invalidations();
    }
    if let Some((read_at, params)) = PARAMS.with(Cached::get)
        && read_at == generation
    {
        return Ok(params);
    }
    let (_, params) = PARAMS.with(|cache| cache.compute(|| Ok::<_, Error>((generation, Rc::new(read_newest()?)))))?;
    Ok(params)
}

/// Reads them from the extension's present table. The cached objects may be older: then their table is gone, and the
/// attempt to lock it has processed the invalidation.
fn read_newest() -> Result<Params, Error> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        if let Some(table) = Table::open_to_read(catalog::objects()?.config_parameter) {
            return Ok(read(&table));
        }
    }
    Err(Error::NotInstalled)
}

/// As [`current`]; `None` if a lock on their table is not free. Keeps that lock to the end of the transaction, so that they
/// can be read again without waiting.
pub fn try_current(attached: &Attached) -> Result<Option<Rc<Params>>, Error> {
    match Table::try_open_to_read(catalog::objects()?.config_parameter) {
        Some(_) => current(Some(attached)).map(Some),
        None => Ok(None),
    }
}

/// Validates a row before it is stored. Warns if the key was probably meant as one of ours.
///
/// # Errors
/// 22023 if the value does not parse, or if the key has our prefix and is unknown.
pub fn validate(key: &[u8], value: &[u8]) -> Result<(), Error> {
    params::validate(key, value)?;
    if let Some(misspelled) = Key::misspelled(key) {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, misspelled.message, "")
            .set_hint(misspelled.hint)
            .report(PgLogLevel::WARNING);
    }
    Ok(())
}

/// `config_parameter` has changed: the current transaction sees it from its next command on, others after the commit.
pub fn changed() -> Result<(), Error> {
    PARAMS.with(Cached::invalidate);
    notes::parameters_changed();
    // SAFETY: only queues a message.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(catalog::objects()?.config_parameter.oid) };
    Ok(())
}

/// Must be called once, when the library is loaded.
pub fn register_callbacks() {
    // SAFETY: the callback only counts.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_invalidation), pg_sys::Datum::from(0_usize)) };
}

/// Any change of the relation that may be ours invalidates the parameters.
#[pg_guard]
unsafe extern "C-unwind" fn on_invalidation(_argument: pg_sys::Datum, relation: Oid) {
    if relation == Oid::INVALID || catalog::cached().is_none_or(|objects| objects.config_parameter.oid == relation) {
        PARAMS.with(Cached::invalidate);
    }
}

fn read(table: &Table) -> Params {
    let mut params = Params::default();
    let snapshot = LatestSnapshot::take(table);
    config_parameter::rows_of(table, &snapshot, Key::ALL.map(Key::name), |row| {
        let (Some(key), Some(value)) = (row.column(column::KEY), row.column(column::VALUE)) else {
            return;
        };
        // SAFETY: both columns are text.
        let (key, value) = unsafe { (text_bytes(key), text_bytes(value)) };
        // The trigger of the table has refused what does not parse. If it was disabled, a bad row leaves the default.
        if let Ok(Some(key)) = Key::from_name(key) {
            let _ = params.set(key, value);
        }
    });
    params
}
