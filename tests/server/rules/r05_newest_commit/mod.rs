//! Rule 5: a check sees the newest commit, not the caller's snapshot.
//!
//! On a standby the newest commit is the last one that was replayed.

mod old_snapshot;
mod standby;
