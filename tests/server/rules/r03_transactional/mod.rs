//! Rule 3: what changes a session is part of the caller's transaction.
//!
//! The caller sees a change at once, others at its commit, and a rollback undoes it, to a savepoint too. No check that starts
//! after a commit has returned answers from before it. Rows changed by hand are honoured.

mod after_commit;
mod after_commit_without_preload;
mod by_hand;
mod every_change;
mod failed;
mod lost_connection;
mod parallel;
mod parameters;
mod prepared;
mod rollback;
