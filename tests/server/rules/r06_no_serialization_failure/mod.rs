//! Rule 6: no function fails with 40001 for what the worker, a check or another function did.
//!
//! Functions follow the newest version of a row, in every isolation level, and take no predicate lock.

mod after_others;
mod after_the_worker;
mod predicate_locks;
mod races;
