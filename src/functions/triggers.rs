//! The trigger functions, for what is written to the tables by hand.
//!
//! All triggers are ENABLE ALWAYS, so that replicated and restored rows pass them too. The functions of the interface
//! write without firing them, and do the same by themselves.

use pgrx::pg_sys::{self, AttrNumber, Datum};
use session_timeout_core::event::Kind;

use crate::catalog;
use crate::clock;
use crate::ending::{self, Batch};
use crate::entry::{Answer, Call, sql_function, text_bytes};
use crate::error::Error;
use crate::session::Known;
use crate::settings;
use crate::store::scan::{Version, all_rows};
use crate::store::session_row::{self, SessionRow};
use crate::store::shape;
use crate::store::table::{Latest, Table};
use crate::store::write::{Attempt, Patience, Purpose, Writer};
use crate::store::{self, Scratch, config_row, login_lock};
use crate::transaction::{self, Change};

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
/// or digest; a login of a user waits for a revocation in flight. A change that leaves the clocks alone takes in activity
/// that is only in memory, and revives nothing that was found expired.
fn session_before_write(call: Call) -> Answer {
    use session_row::column::{LAST_ACTIVITY, OPENED_AT, VERSION};
    let trigger = RowTrigger::of(&call, "session_before_write", catalog::objects()?.session)?;
    let objects = catalog::objects()?;
    let (old, new) = (trigger.old_row_of_update(), trigger.new_row());
    if let Some(name) = new.user_name_bytes()
        && old.is_none_or(|old| old.user_name_bytes() != Some(name))
    {
        login_lock::for_login(objects.session, name);
    }
    for digest in [old.and_then(|old| old.digest()), new.digest()].into_iter().flatten() {
        transaction::session_changed(&objects, &digest, Change::Written);
    }
    let new_key = new.digest().map(|digest| transaction::key_of(&objects, &digest));
    // A new version, which goes on an older opening, or is one of its own.
    let next_version = |from| {
        let version = store::next_value(objects.session_version);
        if let Some(key) = &new_key {
            transaction::session_descends(key, version, from);
        }
        Some(Datum::from(version))
    };
    let Some(old) = old else {
        return Ok(Some(trigger.modified(&[(VERSION, next_version(None))])));
    };
    // A clock may be set to the value that the row has: memory can be ahead of that.
    let sets_clocks = trigger.sets(LAST_ACTIVITY)
        || trigger.sets(OPENED_AT)
        || old.session().last_activity != new.session().last_activity
        || old.session().opened_at != new.session().opened_at;
    if !sets_clocks && old.session() == new.session() && old.digest() == new.digest() {
        return Ok(Some(trigger.modified(&[(VERSION, old.column(VERSION))])));
    }
    let Some(digest) = old.digest().filter(|_| !sets_clocks) else {
        if let Some(digest) = old.digest() {
            let key = transaction::key_of(&objects, &digest);
            transaction::session_replaced(&key, old.version(), old.user_name_bytes());
        }
        return Ok(Some(trigger.modified(&[(VERSION, next_version(None))])));
    };
    // Activity and mark go by the version: what is only in memory would be left behind.
    let known = Known::of(&objects, &digest, &old.row());
    let old_version = old.version();
    let from = (transaction::key_of(&objects, &digest), old_version);
    let version = if known.mark.is_none() {
        next_version(Some(from))
    } else {
        if let Some(key) = new_key.filter(|key| *key != from.0) {
            transaction::session_descends(&key, old_version, Some(from));
        }
        old.column(VERSION)
    };
    let activity = Some(session_row::timestamp_datum(known.session.last_activity));
    Ok(Some(trigger.modified(&[(LAST_ACTIVITY, activity), (VERSION, version)])))
}

/// AFTER DELETE ON session FOR EACH ROW: the session is closed.
fn session_after_delete(call: Call) -> Answer {
    let trigger = RowTrigger::of(&call, "session_after_delete", catalog::objects()?.session)?;
    let old = trigger.old_row();
    if let Some(digest) = old.digest() {
        let objects = catalog::objects()?;
        let known = Known::of(&objects, &digest, &old.row());
        let kind = known.mark.map_or(Kind::Closed, Kind::from);
        ending::tell(&objects, kind, digest, old.user_name(), known.session.last_activity)?;
        transaction::session_changed(&objects, &digest, Change::Closed);
    }
    Ok(Some(Datum::from(0_usize)))
}

/// BEFORE TRUNCATE ON session: every session is closed, but for those that were found expired: they are told of as such.
fn session_before_truncate(call: Call) -> Answer {
    call.trigger("session_before_truncate", catalog::objects()?.session)?;
    let objects = catalog::objects()?;
    let mut batch = Batch::new(&objects)?;
    if let Some(table) = Table::open_to_read(objects.session) {
        let (mut scratch, mut told) = (Scratch::new(), Ok(()));
        all_rows(&table, &Latest::take(&table), |row| {
            let Some(digest) = row.digest().filter(|_| told.is_ok()) else {
                return;
            };
            told = scratch.run(|| {
                let known = Known::of(&objects, &digest, &row.row());
                let kind = known.mark.map_or(Kind::Closed, Kind::from);
                batch.add(kind, digest, row.user_name(), known.session.last_activity)
            });
        });
        told?;
    }
    batch.announce();
    transaction::all_sessions_changed();
    Ok(Some(Datum::from(0_usize)))
}

/// BEFORE INSERT OR UPDATE ON config_parameter FOR EACH ROW: refuses what does not parse, keeps the dates, and lets a row
/// of a dump take the place of the one that the install script made.
fn parameter_before_write(call: Call) -> Answer {
    use config_row::column::{CREATE_DATE, ID, KEY, VALUE, WRITE_DATE};
    let trigger = RowTrigger::of(&call, "parameter_before_write", catalog::objects()?.config_parameter)?;
    let new = trigger.new_row();
    let (Some(key), Some(value)) = (new.column(KEY), new.column(VALUE)) else {
        // The NOT NULL constraints say it better.
        return Ok(Some(trigger.modified(&[])));
    };
    // SAFETY: both columns are text.
    unsafe { settings::validate(text_bytes(key), text_bytes(value))? };
    let now = Some(Datum::from(clock::now().micros()));
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
fn parameter_after_change(call: Call) -> Answer {
    call.trigger("parameter_after_change", catalog::objects()?.config_parameter)?;
    settings::changed()?;
    Ok(Some(Datum::from(0_usize)))
}

/// Deletes the row of a key where the install script made it and nobody has written it since.
fn replace_seeded(key: Datum) -> Result<(), Error> {
    let mut writer = Writer::open(catalog::objects()?.config_parameter)?;
    let snapshot = Latest::take(writer.table());
    let seeded = config_row::find(writer.table(), &snapshot, key, |row| {
        row.column(config_row::column::WRITE_DATE).is_none().then(|| row.tid())
    });
    if let Some(Some(tid)) = seeded
        && let Attempt::Held(row) = writer.lock(tid, &snapshot, Purpose::Remove, Patience::Wait)?
        && row.column(config_row::column::WRITE_DATE).is_none()
    {
        writer.delete(&row)?;
        store::make_visible();
    }
    Ok(())
}

/// The `id` wished for, or another where a row has it: it means nothing, and a dump's may be taken.
fn free_id(wish: Option<Datum>) -> Result<Option<Datum>, Error> {
    let objects = catalog::objects()?;
    let Some(table) = Table::open_to_read(objects.config_parameter) else {
        return Ok(wish);
    };
    let wish = wish.filter(|wish| !config_row::has_id(&table, wish.value() as i32));
    Ok(wish.or_else(|| Some(config_row::free_id(&table, objects.config_parameter_id).into())))
}

/// A trigger that was fired for a row.
struct RowTrigger<'c> {
    data: &'c pg_sys::TriggerData,
}

impl<'c> RowTrigger<'c> {
    fn of(call: &'c Call, function: &'static str, table: pg_sys::Oid) -> Result<Self, Error> {
        let data = call.trigger(function, table)?;
        if data.tg_trigslot.is_null() {
            return Err(Error::NotATrigger { function });
        }
        shape::check(data.tg_relation)?;
        Ok(Self { data })
    }

    fn is_update(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE
    }

    /// Whether the statement gives this column a value, be it the one that the row has. What replication brings is a row, and
    /// names them all.
    fn sets(&self, column: AttrNumber) -> bool {
        let member = i32::from(column) - pg_sys::FirstLowInvalidHeapAttributeNumber;
        // SAFETY: a plain read, and a set that PostgreSQL made for the trigger, or none.
        unsafe {
            pg_sys::SessionReplicationRole != pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32
                && self.is_update()
                && pg_sys::bms_is_member(member, self.data.tg_updatedcols)
        }
    }

    fn old_row(&self) -> Version {
        // SAFETY: PostgreSQL fills the slot for row triggers.
        unsafe { Version::in_slot(self.data.tg_trigslot) }
    }

    fn old_row_of_update(&self) -> Option<Version> {
        self.is_update().then(|| self.old_row())
    }

    fn new_row(&self) -> Version {
        let slot = if self.is_update() {
            self.data.tg_newslot
        } else {
            self.data.tg_trigslot
        };
        // SAFETY: as above, and the second slot for updates.
        unsafe { Version::in_slot(slot) }
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
