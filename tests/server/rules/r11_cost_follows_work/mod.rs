//! Rule 11: cost follows the work, not the size.
//!
//! A check costs the same however many sessions there are; a flush costs what was used, a purge what has expired, and what a
//! transaction notes is linear in what it changed. The files here prove it of the parameters that a check reads, of flushes,
//! of purges, of very many changes in one transaction, and of memory.

mod check;
mod flush;
mod many_changes;
mod memory;
mod skipped_pages;
