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
//! A pass works in short transactions of its own and never waits for a row or a table of ours. For other locks, those of
//! system catalogs or of indexes, both wait [`LOCK_WAIT`] at most; a worker that is not done after [`LONGEST_RUN`] is told to
//! end, wherever it is. What it told shared memory only
//! after a commit is not lost by a crash before it; what it had taken off the list of things to do is put back where it
//! ends early.

mod ender;
mod launcher;
mod pass;
mod worker;

use std::ffi::CStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pgrx::pg_sys::{self, Oid};

use crate::shared::{Shared, database};

/// How long a pass goes on: then it ends, and another comes back.
pub const PASS: Duration = Duration::from_secs(2);

/// How long what is another's is left alone, in microseconds.
pub const LATER: i64 = 2_000_000;

/// How long a database is left alone after a pass, in microseconds: whoever waits to drop or copy it gets its turn.
pub const PAUSE: i64 = 500_000;

/// The longest wait before something is tried again, in microseconds: a database is served within a minute of its being
/// whole.
pub const LONGEST_BACKOFF: i64 = 60_000_000;

/// How long a worker may take in all, by a clock that nobody sets. Then it is told to end, so that it does not keep its place
/// from other databases.
pub const LONGEST_RUN: Duration = Duration::from_secs(10);

/// How long launcher and workers wait for any lock. A pass and a wait in each of its steps are to end within the five
/// seconds that DROP DATABASE waits.
const LOCK_WAIT: &CStr = c"500ms";

/// The `n`th wait, each twice as long as the one before.
pub fn backoff(first: i64, n: u32) -> i64 {
    first
        .saturating_mul(1 << n.saturating_sub(1).min(20))
        .min(LONGEST_BACKOFF)
}

/// Whether there is a process of PostgreSQL with this id.
pub fn is_alive(pid: u32) -> bool {
    // SAFETY: looks into the list of processes.
    !unsafe { pg_sys::BackendPidGetProc(pid as i32) }.is_null()
}

/// Tells a worker to end.
pub fn end_worker(pid: u32) {
    // SAFETY: sends a signal.
    unsafe { signal::kill(pid as i32, signal::SIGTERM) };
}

/// Waits for locks are bounded from here on. To be called before connecting.
fn bound_lock_waits() {
    set(c"lock_timeout", LOCK_WAIT);
}

/// Sets a setting for this process, whatever the database, a role or a file says.
fn set(name: &CStr, value: &CStr) {
    // SAFETY: called with settings that every supported version has.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
    }
}

/// A database is about to be dropped, by who may do that and holds the lock that keeps workers out: the one that is there
/// leaves. WITH (FORCE) ends it only if the caller is a superuser, and fails otherwise.
pub fn leave_database(shared: &'static Shared, oid: Oid) {
    const TRIES: u32 = 500;
    let Some(place) = database::find(shared, oid) else {
        return;
    };
    let worker = place.database.worker.load(Ordering::Acquire);
    if worker == 0 || !is_alive(worker) {
        return;
    }
    end_worker(worker);
    for _ in 0..TRIES {
        if !is_alive(worker) {
            return;
        }
        pgrx::check_for_interrupts!();
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(10_000) };
    }
}

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

    unsafe extern "C" {
        pub fn kill(pid: i32, signal: i32) -> i32;
    }

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
