//! Rule 11: cost follows the work, not the size.
//!
//! A check costs the same however many sessions there are; a flush costs what was used, a purge what has expired, and what a
//! transaction notes is linear in what it changed.

mod check;
mod flush;
mod many_changes;
mod skipped_pages;
