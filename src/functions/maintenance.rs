//! `purge_sessions`, `flush_sessions`, and the warning of CREATE EXTENSION.

use pgrx::PgLogLevel;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::pg::fcall::{Call, Returned, sql_function};
use crate::pg::transaction::require_writable;
use crate::session::{flush, purge};
use crate::shared::{self, databases};
use crate::xact::notes;

sql_function!(ist_purge_sessions, pg_finfo_ist_purge_sessions, purge_sessions);
sql_function!(ist_flush_sessions, pg_finfo_ist_flush_sessions, flush_sessions);
sql_function!(
    ist_announce_installation,
    pg_finfo_ist_announce_installation,
    announce_installation
);

/// `purge_sessions() → bigint`
fn purge_sessions(_: Call) -> Returned {
    require_writable(c"purge_sessions()");
    Ok((purge::purge()? as i64).into_datum())
}

/// `flush_sessions() → bigint`: without the registry, rows have all activity.
fn flush_sessions(_: Call) -> Returned {
    if shared::get().is_none() {
        return Ok(0_i64.into_datum());
    }
    require_writable(c"flush_sessions()");
    Ok((flush::flush()? as i64).into_datum())
}

/// `announce_installation() → void`: called by the install script.
fn announce_installation(_: Call) -> Returned {
    // At the commit, a worker looks for the extension.
    notes::installation_changed();
    let Some(shared) = shared::get() else {
        warn_not_preloaded();
        return Ok(Some(Datum::from(0_usize)));
    };
    if databases::current(shared).is_none() {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_WARNING,
            format!(
                "out of places for databases: all {} are in use, and this database is served from rows, without maintenance",
                shared.databases.len()
            ),
            "",
        )
        .set_hint("Increase session_timeout.max_databases and restart the server.")
        .report(PgLogLevel::WARNING);
    }
    Ok(Some(Datum::from(0_usize)))
}

fn warn_not_preloaded() {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_WARNING,
        "inactive_session_timeout is not preloaded: it works on rows only, without a background worker",
        "",
    )
    .set_detail(
        "Expired sessions are deleted by the check that finds them and by purge_sessions(). In mode \
             \"skip_check\", a session that only polls ignored URLs ends at its next request that counts, or by \
             purge_sessions(). If the transaction that found a session expired rolls back, the expiry is undone.",
    )
    .set_hint(
        "Add inactive_session_timeout to shared_preload_libraries and restart the server, or call \
             session_timeout.purge_sessions() regularly, such as once a minute.",
    )
    .report(PgLogLevel::WARNING);
}
