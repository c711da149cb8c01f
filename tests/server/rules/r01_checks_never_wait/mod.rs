//! Rule 1: a check never writes a table, never waits for a row lock, and never fails the caller's transaction.
//!
//! This holds with the library preloaded, in every isolation level, in a read-only transaction, on a hot standby, and with
//! a full registry. Without preload a check may write a row, but it never waits to do so.

mod full_registry;
mod locks;
mod parallel;
mod read_only;
mod standby;
mod without_preload;
mod writes;
