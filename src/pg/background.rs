//! Background workers and signals.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys;

pub use super::compat::{
    BGWORKER_INTERRUPTIBLE, SignalHandlerForConfigReload, SignalHandlerForShutdownRequest, die, pqsignal,
};

/// The same number on every system that PostgreSQL runs on.
pub const SIGHUP: i32 = 1;
/// The same number on every system that PostgreSQL runs on.
pub const SIGTERM: i32 = 15;

unsafe extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
}

/// Whether there is a process of PostgreSQL with this id.
pub fn is_alive(pid: u32) -> bool {
    // SAFETY: looks into the list of processes.
    !unsafe { pg_sys::BackendPidGetProc(pid as i32) }.is_null()
}

/// Sends SIGTERM to a process.
pub fn terminate(pid: u32) {
    // SAFETY: sends a signal.
    unsafe { kill(pid as i32, SIGTERM) };
}

/// This process.
pub fn my_pid() -> u32 {
    // SAFETY: a plain read.
    unsafe { pg_sys::MyProcPid as u32 }
}

/// Sleeps. Not in a transaction.
pub fn sleep(microseconds: std::ffi::c_long) {
    // SAFETY: sleeps; a signal that ends the process is looked for after it.
    unsafe { pg_sys::pg_usleep(microseconds) };
    pgrx::check_for_interrupts!();
}

/// Sets a setting for this process, whatever the database, a role or a file says.
pub fn set_config(name: &CStr, value: &CStr) {
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

/// A background worker of this library that is never restarted, and does not start before recovery has ended.
pub fn worker(name: &CStr, function: &CStr) -> pg_sys::BackgroundWorker {
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: pg_sys::BGW_NEVER_RESTART,
        ..Default::default()
    };
    copy_name(&mut worker.bgw_name, name);
    copy_name(&mut worker.bgw_type, name);
    copy_name(&mut worker.bgw_library_name, c"inactive_session_timeout");
    copy_name(&mut worker.bgw_function_name, function);
    worker
}

/// The names are shorter than the arrays.
fn copy_name(array: &mut [c_char], name: &CStr) {
    for (to, from) in array.iter_mut().zip(name.to_bytes_with_nul()) {
        *to = *from as c_char;
    }
}
