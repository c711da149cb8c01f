//! Writing activity from the registry to rows.

use session_timeout_core::registry::{EntryFilter, EntryView};

use super::context::Context;
use super::lock::{VersionLock, try_lock_version};
use crate::error::Error;
use crate::pg::clock;
use crate::pg::datum::timestamp_datum;
use crate::pg::memory::RowContext;
use crate::pg::modification::{LockMode, Writer, Written};
use crate::pg::slot::Tuple;
use crate::pg::transaction::{make_visible, my_database};
use crate::rows::session::{SessionRow, column, value_of};
use crate::rows::session_cursor::SessionCursor;
use crate::shared::attached::Attached;
use crate::shared::schedule::is_ahead;

/// How many entries `flush_sessions()` takes out of the registry at once.
const BATCH: usize = 500;

/// What became of the activity of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// It was written.
    Written,
    /// The row has this activity, or newer.
    Known,
    /// There is no row of this version.
    Gone,
    /// Another transaction has locked the row.
    Busy,
    /// The page of the row has no room, and [`Placement::SamePage`] was asked for.
    PageFull,
}

/// Where new tuples may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// To the page of the old one, so that no index entry is made (a HOT update). If the page has no room, the row is left
    /// for another transaction, which can prune what this one replaced.
    SamePage,
    /// To any page.
    AnyPage,
}

/// Writes activity to rows, within one transaction.
pub struct Flusher {
    attached: Attached,
    // In the order in which they must be dropped.
    cursor: SessionCursor,
    writer: Writer,
    row_context: RowContext,
}

impl Flusher {
    /// On the session table as of now. The entries were collected before, so a row that is not found is gone.
    pub fn new(attached: &Attached, writer: Writer) -> Self {
        let cursor = SessionCursor::new(writer.table().again());
        cursor.refresh_prune_horizon();
        Self {
            attached: *attached,
            cursor,
            writer,
            row_context: RowContext::new(),
        }
    }

    /// Writes the activity of an entry to its row, unless the row has it. Waits for nobody. The version of the row stays, so
    /// the entry remains valid.
    pub fn write(&mut self, entry: &EntryView, placement: Placement) -> Result<Flushed, Error> {
        let Self {
            attached,
            cursor,
            writer,
            row_context,
        } = self;
        // Not in the row's memory context: what the scan allocates must live as long as the scan.
        let Some((row, has_room)) = cursor.find_to_update(&entry.digest) else {
            return Ok(Flushed::Gone);
        };
        if row.version() != entry.version {
            return Ok(Flushed::Gone);
        }
        if row.session().last_activity >= entry.activity {
            return Ok(Flushed::Known);
        }
        if !has_room && placement == Placement::SamePage {
            return Ok(Flushed::PageFull);
        }
        let touched = timestamp_datum(entry.activity);
        row_context.run(|| {
            let written = writer.try_update(&row, |values| {
                *value_of(values, column::LAST_ACTIVITY) = Some(touched);
            });
            match written {
                Written::Yes => {
                    report(attached, writer, &row, entry, placement);
                    Ok(Flushed::Written)
                }
                Written::No => write_locked(attached, writer, entry, placement),
            }
        })
    }
}

/// For a row that another transaction has changed, or that it has locked in a mode that may not conflict.
fn write_locked(
    attached: &Attached,
    writer: &mut Writer,
    entry: &EntryView,
    placement: Placement,
) -> Result<Flushed, Error> {
    let row = match try_lock_version(writer, &entry.digest, entry.version, LockMode::NoKeyUpdate)? {
        VersionLock::Locked(row) => row,
        VersionLock::Gone => return Ok(Flushed::Gone),
        VersionLock::Busy => return Ok(Flushed::Busy),
    };
    if row.session().last_activity >= entry.activity {
        return Ok(Flushed::Known);
    }
    writer.update(&row, |values| {
        *value_of(values, column::LAST_ACTIVITY) = Some(timestamp_datum(entry.activity));
    })?;
    report(attached, writer, &row, entry, placement);
    Ok(Flushed::Written)
}

/// A row was written. On its own page newer activity makes nothing due earlier, unless the clock was ahead. But a purge that
/// reads this page meanwhile may have passed the place of the new tuple, and come too late for the old one. So only what asks
/// for the same page, which is the worker, who does not read while it writes, does not report that.
fn report(attached: &Attached, writer: &Writer, old: &Tuple, entry: &EntryView, placement: Placement) {
    let is_ahead = is_ahead(entry.activity.micros(), clock::now().micros());
    if placement == Placement::AnyPage || is_ahead || writer.written_page() != old.page() {
        attached.page_written(writer.table().file_number(), writer.written_page());
    }
}

/// `flush_sessions()`, in the caller's transaction. Returns how many rows were written. The transaction may be rolled back, so
/// the entries stay dirty: the worker's next flush finds that the rows have the activity.
pub fn flush() -> Result<usize, Error> {
    let context = Context::newest()?;
    let Some(attached) = context.attached else {
        return Ok(0);
    };
    let registry = &attached.shared.registry;
    let (database, table) = (my_database().into(), context.objects.session.oid.into());
    let (mut written, mut cursor) = (0, registry.scan(0));
    let mut dirty = Vec::with_capacity(BATCH);
    while !cursor.is_done() {
        pgrx::check_for_interrupts!();
        dirty.clear();
        registry.collect(&mut cursor, database, table, EntryFilter::Dirty, &mut dirty);
        if dirty.is_empty() {
            continue;
        }
        let mut flusher = Flusher::new(&attached, Writer::open(context.objects.session)?);
        for entry in &dirty {
            written += usize::from(flusher.write(entry, Placement::AnyPage)? == Flushed::Written);
        }
    }
    make_visible();
    Ok(written)
}
