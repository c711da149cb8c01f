//! `inactive_session_timeout`: a PostgreSQL extension that logs out sessions which have been idle too long.
//!
//! The rules are in the crate `session_timeout_core`, which knows no PostgreSQL. This library converts at the border:
//!
//! | module | its job |
//! | --- | --- |
//! | `entry` | from a call by PostgreSQL to a Rust function and back, with no session id left in a log |
//! | `functions` | the SQL functions and trigger functions, a file for each group of the interface |
//! | `session` | what the functions do with a session: check, open, close, rotate, purge |
//! | `store` | rows: newest committed version by key, locks, writes, without SPI |
//! | `catalog` | the extension's own tables and sequences, found through `pg_depend` |
//! | `settings` | the parameters, parsed once per backend |
//! | `ending` | `session_event` rows and notices |
//! | `transaction` | what the current transaction changed |
//! | `shared` | the shared memory: the registry, what is known of each database, the counters, the snapshot file |
//! | `maintenance` | the launcher and the workers |
//! | `process`, `kept`, `unguarded` | what a process keeps for itself, and for how long; calls of PostgreSQL that need no guard |
//! | `clock`, `guc` | the wall clock; the settings of the server |
//! | `error` | every error of ours: SQLSTATE, message, hint |
//!
//! Locks, as far as rows go: a reader takes `AccessShareLock` on a table and releases it at once; a writer takes
//! `RowExclusiveLock` to the end of its transaction, as any DML does, and row locks one at a time. A login takes a
//! share lock on its user name, see [`store::login_lock`].

mod catalog;
mod clock;
mod ending;
mod entry;
mod error;
mod functions;
mod guc;
mod kept;
mod maintenance;
mod process;
mod session;
mod settings;
mod shared;
mod store;
mod transaction;
mod unguarded;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

extension_sql_file!("../sql/inactive_session_timeout--0.2.0.sql", name = "install");

/// Called by PostgreSQL when it loads the library: in each backend on first use, or once in the postmaster.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    keep_backtraces_out_of_errors();
    catalog::register_callbacks();
    settings::register_callbacks();
    transaction::register_callbacks();
    // SAFETY: a plain read of the server's state.
    if unsafe { pgrx::pg_sys::process_shared_preload_libraries_in_progress } {
        guc::define();
        shared::request();
        // pg_upgrade starts the servers for itself alone: nothing may connect or write that it does not know of.
        // SAFETY: likewise.
        if !unsafe { pgrx::pg_sys::IsBinaryUpgrade } {
            maintenance::register();
        }
    }
}

/// pgrx adds a Rust backtrace to the DETAIL of an error where `RUST_BACKTRACE` is set, as it may be for other reasons.
fn keep_backtraces_out_of_errors() {
    const SWITCH: &str = "RUST_LIB_BACKTRACE";
    if std::env::var_os(SWITCH).is_none() {
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(SWITCH, "0") };
    }
}
