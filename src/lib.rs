//! `inactive_session_timeout`: a PostgreSQL extension that logs out sessions that have been idle too long.
//!
//! The rules are in the crate `session_timeout_core`, which knows no PostgreSQL. This library converts at the border. Each
//! module uses only those below it:
//!
//! | module | what |
//! | --- | --- |
//! | `functions`, `maintenance`, `xact::{commit, drop_hook}` | what PostgreSQL calls: SQL functions, background processes, the end of a transaction, DROP |
//! | `session` | what is done with a session: check, open, close, rotate, expire, flush, purge |
//! | `params_cache`, `catalog` | the parameters, parsed once per backend; the extension's tables and sequences |
//! | `rows` | the tables: columns, finding and writing rows |
//! | `xact::notes` | what the current transaction has changed |
//! | `shared` | the server's shared memory |
//! | `pg` | all that calls PostgreSQL in general |
//! | `guc`, `error` | the settings; every error: SQLSTATE, message, hint |
//!
//! Row and table locks: a reader takes `AccessShareLock` on a table and releases it at once. A writer takes
//! `RowExclusiveLock` to the end of its transaction, as any DML does, and row locks one at a time. A login takes a share
//! lock on its user name ([`rows::user_lock`]).

mod catalog;
mod error;
mod functions;
mod guc;
mod maintenance;
mod params_cache;
mod pg;
mod rows;
mod session;
mod shared;
mod xact;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

extension_sql_file!("../sql/inactive_session_timeout--0.2.0.sql", name = "install");

/// PostgreSQL calls this when it loads the library: in each backend at its first use, or once in the postmaster.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    keep_backtraces_out_of_errors();
    catalog::register_callbacks();
    params_cache::register_callbacks();
    xact::commit::register();
    xact::drop_hook::register();
    // SAFETY: a plain read of the server's state.
    if unsafe { pgrx::pg_sys::process_shared_preload_libraries_in_progress } {
        guc::define();
        shared::startup::register();
        // pg_upgrade starts servers for itself alone: no other process may connect or write.
        // SAFETY: a plain read.
        if !unsafe { pgrx::pg_sys::IsBinaryUpgrade } {
            maintenance::register();
        }
    }
}

/// pgrx adds a Rust backtrace to the DETAIL of an error if `RUST_BACKTRACE` is set, as it may be for other reasons.
fn keep_backtraces_out_of_errors() {
    const SWITCH: &str = "RUST_LIB_BACKTRACE";
    if std::env::var_os(SWITCH).is_none() {
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(SWITCH, "0") };
    }
}
