//! The trigger functions, for hand-written DML on the tables.
//!
//! All triggers are ENABLE ALWAYS, so that replicated and restored rows pass them too. The SQL functions write without firing
//! them, and do the same themselves.

use pgrx::pg_sys::{self, AttrNumber, Datum};
use session_timeout_core::event::Kind;

use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::{text_bytes, timestamp_datum};
use crate::pg::fcall::{Call, Returned, sql_function};
use crate::pg::memory::RowContext;
use crate::pg::modification::{LockMode, LockOutcome, LockWait, Writer};
use crate::pg::relation::Table;
use crate::pg::scan::all_rows;
use crate::pg::sequence::next_value;
use crate::pg::shape::TableRef;
use crate::pg::slot::Tuple;
use crate::pg::snapshot::LatestSnapshot;
use crate::pg::transaction::{is_replaying, make_visible};
use crate::rows::session::SessionRow;
use crate::rows::{config_parameter, session, user_lock};
use crate::session::context::Context;
use crate::session::end::{Batch, RegistryUpdate, kind_of, record_one};
use crate::xact::notes::{self, Change};
use crate::{catalog, params_cache};

sql_function!(
    ist_session_before_write,
    pg_finfo_ist_session_before_write,
    session_before_write
);
sql_function!(
    ist_session_after_delete,
    pg_finfo_ist_session_after_delete,
    session_after_delete
);
sql_function!(
    ist_session_before_truncate,
    pg_finfo_ist_session_before_truncate,
    session_before_truncate
);
sql_function!(
    ist_parameter_before_write,
    pg_finfo_ist_parameter_before_write,
    parameter_before_write
);
sql_function!(
    ist_parameter_after_change,
    pg_finfo_ist_parameter_after_change,
    parameter_after_change
);

/// BEFORE INSERT OR UPDATE ON session FOR EACH ROW: a new version for a new row and for every change of clocks, limits
/// or digest. A login of a user waits for a revocation in progress. A change that does not set the clocks keeps activity
/// that is only in memory, and revives no session that was found expired.
fn session_before_write(call: Call) -> Returned {
    use session::column::{LAST_ACTIVITY, OPENED_AT, VERSION};
    let context = Context::current()?;
    let objects = context.objects;
    let trigger = RowTrigger::of(&call, "session_before_write", objects.session)?;
    let (old, new) = (trigger.old_row_of_update(), trigger.new_row());
    notes::written_by_hand();
    if let Some(name) = new.user_name_bytes()
        && old.is_none_or(|old| old.user_name_bytes() != Some(name))
    {
        user_lock::for_login(objects.session.oid, name);
    }
    for digest in [old.and_then(|old| old.digest()), new.digest()].into_iter().flatten() {
        notes::session_changed(&objects.key(&digest), Change::Written);
    }
    let new_key = new.digest().map(|digest| objects.key(&digest));
    // A new version, which continues an earlier login or is one of its own.
    let next_version = |from| {
        let version = next_value(objects.session_version);
        if let Some(key) = &new_key {
            notes::session_derives(key, version, from);
        }
        Some(Datum::from(version))
    };
    let Some(old) = old else {
        return Ok(Some(trigger.modified(&[(VERSION, next_version(None))])));
    };
    // A clock may be set to the value that the row has: memory may have newer activity.
    let sets_clocks = trigger.sets(LAST_ACTIVITY)
        || trigger.sets(OPENED_AT)
        || old.session().last_activity != new.session().last_activity
        || old.session().opened_at != new.session().opened_at;
    if !sets_clocks && old.session() == new.session() && old.digest() == new.digest() {
        return Ok(Some(trigger.modified(&[(VERSION, old.column(VERSION))])));
    }
    let Some(digest) = old.digest().filter(|_| !sets_clocks) else {
        if let Some(digest) = old.digest() {
            notes::session_replaced(&objects.key(&digest), old.version(), old.user_name_bytes());
        }
        return Ok(Some(trigger.modified(&[(VERSION, next_version(None))])));
    };
    // Activity and expiry in memory belong to the old version.
    let known = context.known(&digest, &old.row());
    let old_version = old.version();
    let from = (objects.key(&digest), old_version);
    let version = if known.expired.is_none() {
        next_version(Some(from))
    } else {
        if let Some(key) = new_key.filter(|key| *key != from.0) {
            notes::session_derives(&key, old_version, Some(from));
        }
        old.column(VERSION)
    };
    let activity = Some(timestamp_datum(known.session.last_activity));
    Ok(Some(trigger.modified(&[(LAST_ACTIVITY, activity), (VERSION, version)])))
}

/// AFTER DELETE ON session FOR EACH ROW: the session is closed.
fn session_after_delete(call: Call) -> Returned {
    let context = Context::current()?;
    let trigger = RowTrigger::of(&call, "session_after_delete", context.objects.session)?;
    let old = trigger.old_row();
    if let Some(digest) = old.digest() {
        let known = context.known(&digest, &old.row());
        let kind = kind_of(&known, Kind::Closed);
        record_one(&context, kind, digest, old.user_name(), known.session.last_activity)?;
        notes::session_changed(&context.objects.key(&digest), Change::Closed);
    }
    Ok(Some(Datum::from(0_usize)))
}

/// BEFORE TRUNCATE ON session: every session is closed, except those that were found expired, which end as such.
fn session_before_truncate(call: Call) -> Returned {
    let context = Context::current()?;
    call.trigger("session_before_truncate", context.objects.session)?;
    let mut batch = Batch::new(&context, RegistryUpdate::ByCaller)?;
    if let Some(table) = Table::open_to_read(context.objects.session) {
        let (mut row_context, mut result) = (RowContext::new(), Ok(()));
        all_rows(&table, &LatestSnapshot::take(&table), |row| {
            let Some(digest) = row.digest().filter(|_| result.is_ok()) else {
                return;
            };
            result = row_context.run(|| {
                let known = context.known(&digest, &row.row());
                let kind = kind_of(&known, Kind::Closed);
                batch.record(kind, digest, row.user_name(), known.session.last_activity)
            });
        });
        result?;
    }
    batch.note();
    notes::all_sessions_changed();
    Ok(Some(Datum::from(0_usize)))
}

/// BEFORE INSERT OR UPDATE ON config_parameter FOR EACH ROW: refuses what does not parse, sets the dates, and lets a row of a
/// dump replace the row that the install script inserted.
fn parameter_before_write(call: Call) -> Returned {
    use config_parameter::column::{CREATE_DATE, ID, KEY, VALUE, WRITE_DATE};
    let trigger = RowTrigger::of(&call, "parameter_before_write", catalog::objects()?.config_parameter)?;
    let new = trigger.new_row();
    let (Some(key), Some(value)) = (new.column(KEY), new.column(VALUE)) else {
        // The NOT NULL constraints will refuse it.
        return Ok(Some(trigger.modified(&[])));
    };
    // SAFETY: both columns are text.
    unsafe { params_cache::validate(text_bytes(key), text_bytes(value))? };
    let now = Some(timestamp_datum(clock::now()));
    if let Some(old) = trigger.old_row_of_update() {
        let written = new.column(WRITE_DATE);
        let is_kept = old.column(WRITE_DATE).map(|d| d.value()) == written.map(|d| d.value());
        return Ok(Some(
            trigger.modified(&[(WRITE_DATE, if is_kept { now } else { written })]),
        ));
    }
    replace_seeded(key)?;
    Ok(Some(trigger.modified(&[
        (ID, free_id(new.column(ID))?),
        (CREATE_DATE, new.column(CREATE_DATE).or(now)),
        (WRITE_DATE, new.column(WRITE_DATE).or(now)),
    ])))
}

/// AFTER INSERT OR UPDATE OR DELETE ON config_parameter FOR EACH ROW, and AFTER TRUNCATE.
fn parameter_after_change(call: Call) -> Returned {
    call.trigger("parameter_after_change", catalog::objects()?.config_parameter)?;
    params_cache::changed()?;
    Ok(Some(Datum::from(0_usize)))
}

/// Deletes the row of a key if the install script inserted it and nobody has written it since.
fn replace_seeded(key: Datum) -> Result<(), Error> {
    let mut writer = Writer::open(catalog::objects()?.config_parameter)?;
    let snapshot = LatestSnapshot::take(writer.table());
    let seeded = config_parameter::find(writer.table(), &snapshot, key, |row| {
        row.column(config_parameter::column::WRITE_DATE)
            .is_none()
            .then(|| row.tid())
    });
    if let Some(Some(tid)) = seeded
        && let LockOutcome::Locked(row) = writer.lock(tid, &snapshot, LockMode::Update, LockWait::Wait)?
        && row.column(config_parameter::column::WRITE_DATE).is_none()
    {
        writer.delete(&row)?;
        make_visible();
    }
    Ok(())
}

/// The given `id`, or another if a row has it already: ids mean nothing, and that of a dumped row may be in use.
fn free_id(given: Option<Datum>) -> Result<Option<Datum>, Error> {
    let objects = catalog::objects()?;
    let Some(table) = Table::open_to_read(objects.config_parameter) else {
        return Ok(given);
    };
    let given = given.filter(|given| !config_parameter::has_id(&table, given.value() as i32));
    Ok(given.or_else(|| Some(config_parameter::free_id(&table, objects.config_parameter_id).into())))
}

/// A trigger that was fired for a row.
struct RowTrigger<'c> {
    data: &'c pg_sys::TriggerData,
}

impl<'c> RowTrigger<'c> {
    fn of(call: &'c Call, function: &'static str, table: TableRef) -> Result<Self, Error> {
        let data = call.trigger(function, table)?;
        if data.tg_trigslot.is_null() {
            return Err(Error::NotATrigger { function });
        }
        table.shape.check(data.tg_relation)?;
        Ok(Self { data })
    }

    fn is_update(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE
    }

    /// Whether the statement sets this column, even to the value that it has. Replication sets all columns, so it does not
    /// count.
    fn sets(&self, column: AttrNumber) -> bool {
        let member = i32::from(column) - pg_sys::FirstLowInvalidHeapAttributeNumber;
        // SAFETY: a set that PostgreSQL made for the trigger, or NULL.
        !is_replaying() && self.is_update() && unsafe { pg_sys::bms_is_member(member, self.data.tg_updatedcols) }
    }

    fn old_row(&self) -> Tuple {
        // SAFETY: PostgreSQL fills the slot for row triggers.
        unsafe { Tuple::in_slot(self.data.tg_trigslot) }
    }

    fn old_row_of_update(&self) -> Option<Tuple> {
        self.is_update().then(|| self.old_row())
    }

    fn new_row(&self) -> Tuple {
        let slot = if self.is_update() {
            self.data.tg_newslot
        } else {
            self.data.tg_trigslot
        };
        // SAFETY: as above, and the second slot for updates.
        unsafe { Tuple::in_slot(slot) }
    }

    /// The new row with these columns changed, as a BEFORE trigger returns it.
    fn modified(&self, changes: &[(AttrNumber, Option<Datum>)]) -> Datum {
        let tuple = if self.is_update() {
            self.data.tg_newtuple
        } else {
            self.data.tg_trigtuple
        };
        let mut columns: Vec<i32> = changes.iter().map(|(column, _)| i32::from(*column)).collect();
        let mut values: Vec<Datum> = changes
            .iter()
            .map(|(_, value)| value.unwrap_or(Datum::from(0_usize)))
            .collect();
        let mut nulls: Vec<bool> = changes.iter().map(|(_, value)| value.is_none()).collect();
        // SAFETY: the columns are the table's; the result is allocated in the trigger's memory context.
        Datum::from(unsafe {
            pg_sys::heap_modify_tuple_by_cols(
                tuple,
                (*self.data.tg_relation).rd_att,
                columns.len() as i32,
                columns.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            )
        })
    }
}
