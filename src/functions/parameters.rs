//! `get_param`, `set_param`: `ir.config_parameter`'s two methods.

use pgrx::pg_sys::Datum;
use session_timeout_core::params;

use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::timestamp_datum;
use crate::pg::fcall::{Call, Returned, sql_function};
use crate::pg::modification::{LockMode, LockOutcome, LockWait, LockedTuple, Values, Writer};
use crate::pg::relation::Table;
use crate::pg::snapshot::LatestSnapshot;
use crate::pg::transaction::{make_visible, require_writable};
use crate::rows::config_parameter::{self, column};
use crate::rows::session::value_of;
use crate::{catalog, params_cache};

sql_function!(ist_get_param, pg_finfo_ist_get_param, get_param);
sql_function!(ist_set_param, pg_finfo_ist_set_param, set_param);

/// `get_param(key text, default_value text) → text`
fn get_param(call: Call) -> Returned {
    let table = Table::open_to_read(catalog::newest_objects()?.config_parameter).ok_or(Error::NotInstalled)?;
    let stored = call.datum(0).and_then(|key| {
        let snapshot = LatestSnapshot::take(&table);
        config_parameter::find(&table, &snapshot, key, |row| row.text(column::VALUE)).flatten()
    });
    Ok(stored.or(call.datum(1)))
}

/// `set_param(key text, value text) → text`
fn set_param(call: Call) -> Returned {
    let (Some(key), Some(name)) = (call.datum(0), call.text(0)) else {
        return Err(Error::KeyMissing);
    };
    match call.text(1) {
        Some(value) => params_cache::validate(name, value)?,
        // An unknown key of ours is refused here too.
        None => drop(params::Key::from_name(name)?),
    }
    require_writable(c"set_param()");
    let old = match call.datum(1) {
        Some(value) => store_value(key, value)?,
        None => delete(key)?,
    };
    params_cache::changed()?;
    make_visible();
    Ok(old)
}

fn store_value(key: Datum, value: Datum) -> Result<Option<Datum>, Error> {
    let objects = catalog::newest_objects()?;
    let mut writer = Writer::open(objects.config_parameter)?;
    loop {
        pgrx::check_for_interrupts!();
        // A row that the current command has written is there too.
        make_visible();
        let now = Some(timestamp_datum(clock::now()));
        if let Some(row) = find_and_lock(&writer, key)? {
            let old = row.text(column::VALUE);
            writer.update(&row, |values| {
                *value_of(values, column::VALUE) = Some(value);
                *value_of(values, column::WRITE_DATE) = now;
            })?;
            return Ok(old);
        }
        let mut values: Values = vec![None; column::COUNT];
        *value_of(&mut values, column::ID) =
            Some(config_parameter::free_id(writer.table(), objects.config_parameter_id).into());
        *value_of(&mut values, column::KEY) = Some(key);
        let key = writer.table().unique_index_on(column::KEY);
        let fill = |values: &mut Values| {
            *value_of(values, column::VALUE) = Some(value);
            *value_of(values, column::CREATE_DATE) = now;
            *value_of(values, column::WRITE_DATE) = now;
        };
        if writer.insert_unless_present(values, key, fill)? {
            return Ok(None);
        }
    }
}

fn delete(key: Datum) -> Result<Option<Datum>, Error> {
    let mut writer = Writer::open(catalog::newest_objects()?.config_parameter)?;
    let Some(row) = find_and_lock(&writer, key)? else {
        return Ok(None);
    };
    let old = row.text(column::VALUE);
    writer.delete(&row)?;
    Ok(old)
}

/// Finds the newest version of a key's row and locks it, waiting for others.
fn find_and_lock(writer: &Writer, key: Datum) -> Result<Option<LockedTuple>, Error> {
    loop {
        let snapshot = LatestSnapshot::take(writer.table());
        let Some(tid) = config_parameter::find(writer.table(), &snapshot, key, |row| row.tid()) else {
            return Ok(None);
        };
        if let LockOutcome::Locked(row) = writer.lock(tid, &snapshot, LockMode::Update, LockWait::Wait)? {
            return Ok(Some(row));
        }
        pgrx::check_for_interrupts!();
    }
}
