//! Rule 2: fail closed. Whatever goes wrong, no session validates that should not.
//!
//! A session that was found expired stays expired. Nothing of a dropped database or extension validates, whatever a start,
//! a lock or a clock does. Lost activity can end a session early, never late.

mod after_a_wait;
mod clock_skew;
mod dropped_databases;
mod expiry_during_changes;
mod expiry_is_final;
mod extension_dropped;
mod extension_recreated;
mod full_registry;
mod restart;
mod snapshot_file;
mod standby;
