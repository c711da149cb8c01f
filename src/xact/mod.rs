//! The current transaction: what it has changed, and what happens when it ends.
//!
//! `notes` is a leaf that everything may use. `commit` (the callbacks at the end of a transaction) and `drop_hook` (DROP
//! EXTENSION and DROP DATABASE) are on top: only `lib.rs` refers to them.

pub mod commit;
pub mod drop_hook;
pub mod notes;
