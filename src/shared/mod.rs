//! The server's shared memory. It exists if the library was preloaded.
//!
//! | file | what |
//! | --- | --- |
//! | `segment` | the layout of the segment, and [`get`] |
//! | `startup` | requests the segment and the locks, and formats them in the postmaster, again after a crash |
//! | `locks` | one LWLock for each partition of the registry, and one for the list of databases |
//! | `control` | what there is one of |
//! | `database`, `databases`, `schedule`, `purge_due` | what is known of each database; the list of them |
//! | `counters` | the counters of the monitoring views |
//! | `attached` | what a backend may use of all this |
//! | `snapshot` | the file that carries activity over a clean restart |
//!
//! Lock order: a process holds at most one of these LWLocks at a time, and calls nothing under it that can raise an error,
//! allocate or wait.

pub mod attached;
pub mod control;
pub mod counters;
pub mod database;
pub mod databases;
mod locks;
pub mod purge_due;
pub mod schedule;
pub mod segment;
pub mod snapshot;
pub mod startup;

pub use segment::{Shared, get};
