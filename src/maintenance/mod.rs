//! Maintenance in the background: a launcher, and workers that it starts.
//!
//! | process | connected to | lives |
//! | --- | --- | --- |
//! | `session_timeout launcher` | no database, shared catalogs only | always, on a primary |
//! | `session_timeout worker` | one database | one pass, about [`limits::PASS`] at most |
//!
//! The launcher looks at what shared memory says of each database, and starts a worker if something is due: expired sessions
//! at once, dirty activity at the flush interval, the purge at the purge interval, a look whether a new database has the
//! extension. Nothing stays connected to a database, so that it can be dropped, renamed and copied.
//!
//! | file | what |
//! | --- | --- |
//! | `launcher`, `worker` | the two processes |
//! | `database_list` | the launcher's looks at `pg_database` |
//! | `pass` | one pass over a database: its steps in their order, and what a failure of one does |
//! | `steps` | the steps: expire, flush, purge, retention |
//! | `context` | what the steps share |
//! | `limits` | how long everything may take |
//!
//! A pass works in short transactions and waits for no row and no table of ours. For other locks, those of catalogs or
//! indexes, both processes wait [`limits::LOCK_WAIT`] at most. The launcher ends a worker that runs longer than
//! [`limits::LONGEST_RUN`]. What a worker reports to shared memory after a commit is not lost by a crash before it; what it
//! took off the list of things to do is put back if it ends early.

mod context;
mod database_list;
mod launcher;
mod limits;
mod pass;
mod steps;
mod worker;

use pgrx::pg_sys;

use crate::pg::background;

/// Registers the launcher. Must be called once, while the library is preloaded.
pub fn register() {
    let mut launcher = background::worker(c"session_timeout launcher", c"ist_launcher_main");
    // It is restarted however it ends.
    launcher.bgw_restart_time = 5;
    // SAFETY: called while the library is preloaded, as it must be.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut launcher) };
}
