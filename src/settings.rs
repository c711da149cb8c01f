//! The parameters, parsed once per backend.
//!
//! They are read from `config_parameter` as the newest commit has them, the current transaction's own changes included,
//! and kept until they change. With the library preloaded a check compares one number in shared memory, which every commit
//! of a change counts up. Without, the trigger on the table sends a relation-cache invalidation, which every backend takes
//! in at its next check and which a rollback takes back. Parsing happens outside the check's way.

use std::rc::Rc;
use std::sync::atomic::Ordering::Acquire;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::params::{self, Key, Params};

use crate::catalog::{self, Objects};
use crate::entry::text_bytes;
use crate::error::Error;
use crate::kept::Kept;
use crate::process::PerProcess;
use crate::shared::{self, database};
use crate::store::config_row::{self, column};
use crate::store::table::{Latest, Table};
use crate::{transaction, unguarded};

/// The parameters, with the shared generation that they were read at, where there is one.
static PARAMS: PerProcess<Kept<(Option<u64>, Rc<Params>)>> = PerProcess::new(Kept::new());

/// The parameters in force for this check.
pub fn current() -> Result<Rc<Params>, Error> {
    let generation = shared_generation();
    if generation.is_none() {
        // SAFETY: within a transaction; takes in what other backends have committed until now.
        unsafe { pg_sys::AcceptInvalidationMessages() };
    }
    if let Some((read_at, params)) = PARAMS.with(Kept::get)
        && read_at == generation
    {
        return Ok(params);
    }
    let (_, params) = PARAMS.with(|kept| kept.make(|| Ok::<_, Error>((generation, Rc::new(read_newest()?)))))?;
    Ok(params)
}

/// Reads them from the table that is the extension's now. What this backend knows of it may be older: then that table is
/// gone, and the attempt to lock it has taken in what took its place.
fn read_newest() -> Result<Params, Error> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        if let Some(params) = read(&catalog::objects()?) {
            return Ok(params);
        }
    }
    Err(Error::NotInstalled)
}

/// The parameters, where they can be had without waiting for a lock on their table.
pub fn try_current(objects: &Objects) -> Result<Option<Rc<Params>>, Error> {
    // Holds the lock on the table, once it has it, to the end of the transaction.
    Ok(match Table::try_open_to_read(objects.config_parameter) {
        Some(_) => Some(current()?),
        None => None,
    })
}

/// How often this database's parameters have changed, where shared memory tells: every commit of a change counts it up
/// before it returns. On a standby nobody counts, and a transaction that changed them goes by its own messages.
fn shared_generation() -> Option<u64> {
    let shared = shared::get()?;
    if transaction::has_changed_parameters() || unguarded::recovery_in_progress() {
        return None;
    }
    Some(database::mine(shared)?.parameters.load(Acquire))
}

/// Before a row is stored: refuses what does not parse, and warns of a key that was probably meant as one of ours.
pub fn validate(key: &[u8], value: &[u8]) -> Result<(), Error> {
    params::validate(key, value)?;
    if let Some(misspelled) = Key::misspelled(key) {
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, misspelled.message, "")
            .set_hint(misspelled.hint)
            .report(PgLogLevel::WARNING);
    }
    Ok(())
}

/// After a change of `config_parameter`: the current transaction sees it from its next command on, others when it has
/// committed, nobody when it is rolled back.
pub fn changed() -> Result<(), Error> {
    PARAMS.with(Kept::changed);
    transaction::parameters_changed();
    // SAFETY: only queues a message.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(catalog::objects()?.config_parameter) };
    Ok(())
}

/// To be called once, at load.
pub fn register_callbacks() {
    // SAFETY: the callback only counts.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(on_relation_change), pg_sys::Datum::from(0_usize)) };
}

/// Any change of a relation that may be ours makes the parameters stale: these are rare, and reading anew is cheap.
#[pg_guard]
unsafe extern "C-unwind" fn on_relation_change(_argument: pg_sys::Datum, relation: Oid) {
    if relation == Oid::INVALID || catalog::known().is_none_or(|objects| objects.config_parameter == relation) {
        PARAMS.with(Kept::changed);
    }
}

/// `None` where the table is gone: that is no reason for the defaults.
fn read(objects: &Objects) -> Option<Params> {
    let mut params = Params::default();
    let table = Table::open_to_read(objects.config_parameter)?;
    let snapshot = Latest::take(&table);
    config_row::rows_of(&table, &snapshot, Key::ALL.map(Key::name), |row| {
        let (Some(key), Some(value)) = (row.column(column::KEY), row.column(column::VALUE)) else {
            return;
        };
        // SAFETY: both columns are text.
        let (key, value) = unsafe { (text_bytes(key), text_bytes(value)) };
        // What the table's trigger has let in parses. Were it switched off, a bad row would leave its default.
        if let Ok(Some(key)) = Key::from_name(key) {
            let _ = params.set(key, value);
        }
    });
    Some(params)
}
