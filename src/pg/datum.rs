//! Values of PostgreSQL's types.

use std::ffi::CStr;
use std::iter;

use chrono::TimeDelta;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::varlena;
use session_timeout_core::time::{Timestamp, span_of_interval, to_micros};

use super::compat;
use super::shape::type_name;
use crate::error::Error;

/// The bytes of a `text` or `bytea` value, detoasted.
///
/// # Safety
/// `datum` is a valid `text` or `bytea`. The slice is valid as long as the value, or the current memory context.
pub unsafe fn text_bytes<'a>(datum: Datum) -> &'a [u8] {
    let value = datum.cast_mut_ptr();
    // SAFETY: by the caller's promise. A value that is neither compressed nor external is used as it is.
    unsafe {
        let is_plain = !varlena::varatt_is_4b_c(value) && !varlena::varatt_is_1b_e(value);
        varlena::varlena_to_byte_slice(if is_plain {
            value
        } else {
            pg_sys::pg_detoast_datum_packed(value)
        })
    }
}

/// A `timestamptz` value.
pub fn timestamp_datum(time: Timestamp) -> Datum {
    Datum::from(time.micros())
}

/// The time of a `timestamptz` value.
pub fn timestamp_of(datum: Datum) -> Timestamp {
    Timestamp::from_micros(datum.value() as i64)
}

/// The span of an `interval` value: a month is 30 days, a day 24 hours.
pub fn span_of(datum: Datum) -> TimeDelta {
    // SAFETY: callers pass values of type interval, which is passed by reference.
    let interval = unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() };
    span_of_interval(interval.month, interval.day, interval.time)
}

/// A span as an `interval` value of days, hours and smaller units, in the current memory context.
pub fn interval_datum(span: TimeDelta) -> Datum {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    let micros = to_micros(span);
    // SAFETY: palloc0 returns memory for one interval.
    unsafe {
        let interval = pg_sys::palloc0(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
        (*interval).day = i32::try_from(micros / DAY).unwrap_or(if micros < 0 { i32::MIN } else { i32::MAX });
        (*interval).time = micros % DAY;
        Datum::from(interval)
    }
}

/// A field of a row value: its name, its type, and its value, `None` for NULL.
pub type Field = (&'static CStr, Oid, Option<Datum>);

/// A value of a row type, of these fields in their order. Columns that were added to the type and dropped again are NULL.
///
/// # Errors
/// 55000 if the type has other columns, by name or type: somebody has altered it.
pub fn row_datum(row_type: pg_sys::TupleDesc, fields: &[Field]) -> Result<Option<Datum>, Error> {
    // SAFETY: a row type of PostgreSQL's.
    let columns = unsafe { (*row_type).natts as usize };
    let is_as_declared = (0..fields.len().max(columns)).all(|n| {
        // SAFETY: as above.
        let column = unsafe { compat::attribute(row_type, n) };
        // SAFETY: a column's name is null-terminated.
        let column = column.map(|column| unsafe { (CStr::from_ptr(column.attname.data.as_ptr()), column.atttypid) });
        column == fields.get(n).map(|(name, type_oid, _)| (*name, *type_oid))
    });
    if !is_as_declared {
        // SAFETY: as above.
        let row_type = unsafe { type_name((*row_type).tdtypeid) };
        return Err(Error::RowTypeAltered { row_type });
    }
    let values = || {
        let values = fields.iter().map(|(_, _, value)| *value);
        values.chain(iter::repeat(None)).take(columns)
    };
    let mut datums: Vec<Datum> = values().map(|value| value.unwrap_or(Datum::from(0_usize))).collect();
    let mut nulls: Vec<bool> = values().map(|value| value.is_none()).collect();
    // SAFETY: as many values as the type has columns, each of its column's type.
    unsafe {
        let tuple = pg_sys::heap_form_tuple(row_type, datums.as_mut_ptr(), nulls.as_mut_ptr());
        Ok(Some(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)))
    }
}
