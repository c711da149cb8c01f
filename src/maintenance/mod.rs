//! The background: a launcher, and workers that it starts.
//!
//! | who | connected to | lives |
//! | --- | --- | --- |
//! | `session_timeout launcher` | no database, shared catalogs only | always, on a primary |
//! | `session_timeout worker` | one database | one pass, at most about [`PASS`] |
//!
//! The launcher looks at what shared memory says of each database, and starts a worker where something is due: marked
//! sessions at once, unflushed activity every flush interval, the purge every purge interval, a look whether the
//! extension is there in a database that is new. Nothing stays connected to a database, so that it can be dropped,
//! renamed and copied.
//!
//! A pass works in short transactions of its own and never waits for a row or a table. What it told shared memory only
//! after a commit is not lost by a crash before it; what it had taken off the list of things to do is put back where it
//! ends early.

mod ender;
mod launcher;
mod pass;
mod worker;

use std::ffi::CStr;
use std::time::Duration;

use pgrx::pg_sys;

/// How long a pass goes on: then it ends, and another comes back.
pub const PASS: Duration = Duration::from_secs(2);

/// How long what is another's is left alone, in microseconds.
pub const LATER: i64 = 2_000_000;

/// How long a database is left alone after a pass, in microseconds: whoever waits to drop or copy it gets its turn.
pub const PAUSE: i64 = 500_000;

/// Signals, and PostgreSQL's own handlers for them: the functions themselves, as pgrx wraps them for callers in Rust.
mod signal {
    #[cfg(not(feature = "pg18"))]
    pub use pgrx::pg_sys::pqsignal;
    // In C a macro has the name of old.
    #[cfg(feature = "pg18")]
    pub use pgrx::pg_sys::pqsignal_be as pqsignal;

    /// The same number on every system that PostgreSQL runs on.
    pub const SIGHUP: i32 = 1;
    /// Likewise.
    pub const SIGTERM: i32 = 15;

    unsafe extern "C-unwind" {
        pub fn SignalHandlerForConfigReload(signal: i32);
        pub fn SignalHandlerForShutdownRequest(signal: i32);
        pub fn die(signal: i32);
    }
}

/// To be called once, while preloading.
pub fn register() {
    let mut launcher = background_worker(c"session_timeout launcher", c"ist_launcher_main");
    // A launcher that ends for whatever reason comes back.
    launcher.bgw_restart_time = 5;
    // SAFETY: called while preloading, as it must be.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut launcher) };
}

/// The parts that launcher and workers have in common. Neither starts on a standby: the launcher when it is promoted.
fn background_worker(name: &CStr, function: &CStr) -> pg_sys::BackgroundWorker {
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
        ..Default::default()
    };
    write_name(&mut worker.bgw_name, name);
    write_name(&mut worker.bgw_type, name);
    write_name(&mut worker.bgw_library_name, c"inactive_session_timeout");
    write_name(&mut worker.bgw_function_name, function);
    worker
}

/// The names are shorter than their room.
fn write_name(room: &mut [std::ffi::c_char], name: &CStr) {
    for (to, from) in room.iter_mut().zip(name.to_bytes_with_nul()) {
        *to = *from as std::ffi::c_char;
    }
}
