//! `get_param`, `set_param`: `ir.config_parameter`'s two methods.

use pgrx::pg_sys::Datum;
use session_timeout_core::params;

use crate::catalog;
use crate::entry::{Answer, Call, sql_function};
use crate::error::Error;
use crate::store::table::{Latest, Table};
use crate::store::write::{Attempt, Locked, Patience, Purpose, Values, Writer};
use crate::store::{self, config_row, require_writable};
use crate::{clock, settings};

use config_row::column;

sql_function!(ist_get_param, pg_finfo_ist_get_param, get_param);
sql_function!(ist_set_param, pg_finfo_ist_set_param, set_param);

/// `get_param(key text, default_value text) → text`
fn get_param(call: Call) -> Answer {
    let table = Table::open_to_read(catalog::newest_objects()?.config_parameter).ok_or(Error::NotInstalled)?;
    let stored = call.datum(0).and_then(|key| {
        let snapshot = Latest::take(&table);
        config_row::find(&table, &snapshot, key, |row| row.text(column::VALUE)).flatten()
    });
    Ok(stored.or(call.datum(1)))
}

/// `set_param(key text, value text) → text`
fn set_param(call: Call) -> Answer {
    let (Some(key), Some(name)) = (call.datum(0), call.text(0)) else {
        return Err(Error::KeyMissing);
    };
    match call.text(1) {
        Some(value) => settings::validate(name, value)?,
        // An unknown key of ours is refused here too.
        None => drop(params::Key::from_name(name)?),
    }
    require_writable(c"set_param()");
    let old = match call.datum(1) {
        Some(value) => store_value(key, value)?,
        None => delete(key)?,
    };
    settings::changed()?;
    store::make_visible();
    Ok(old)
}

fn store_value(key: Datum, value: Datum) -> Result<Option<Datum>, Error> {
    let objects = catalog::newest_objects()?;
    let mut writer = Writer::open(objects.config_parameter)?;
    loop {
        pgrx::check_for_interrupts!();
        // A row that the current command has written is there too.
        store::make_visible();
        let now = Some(Datum::from(clock::now().micros()));
        if let Some(row) = find_and_lock(&writer, key)? {
            let old = row.text(column::VALUE);
            writer.update(&row, |values| {
                values[column::VALUE as usize - 1] = Some(value);
                values[column::WRITE_DATE as usize - 1] = now;
            })?;
            return Ok(old);
        }
        let mut values: Values = vec![None; column::COUNT];
        values[column::ID as usize - 1] = Some(config_row::free_id(writer.table(), objects.config_parameter_id).into());
        values[column::KEY as usize - 1] = Some(key);
        let key = writer.table().unique_index_on(column::KEY);
        let fill = |values: &mut Values| {
            values[column::VALUE as usize - 1] = Some(value);
            values[column::CREATE_DATE as usize - 1] = now;
            values[column::WRITE_DATE as usize - 1] = now;
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
fn find_and_lock(writer: &Writer, key: Datum) -> Result<Option<Locked>, Error> {
    loop {
        let snapshot = Latest::take(writer.table());
        let Some(tid) = config_row::find(writer.table(), &snapshot, key, |row| row.tid()) else {
            return Ok(None);
        };
        if let Attempt::Held(row) = writer.lock(tid, &snapshot, Purpose::Remove, Patience::Wait)? {
            return Ok(Some(row));
        }
        pgrx::check_for_interrupts!();
    }
}
