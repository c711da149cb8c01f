//! The steps of a pass.
//!
//! | step | finds its sessions | transaction | reports to the registry, after the commit |
//! | --- | --- | --- | --- |
//! | `expire` | expired entries of the registry | up to [`BATCH`] rows deleted, with events and notices | the logins that ended |
//! | `flush` | dirty entries of the registry | up to [`BATCH`] rows updated; those whose page has no room in further ones | what was flushed, or that the login ended |
//! | `purge` | [`purge::PAGES`] pages of the heap | the rows that are past a limit, once the registry says so too: deleted, as above | the logins that ended |
//! | | | rows with clocks in the future, which are set to now | as every transaction that changes sessions does |
//! | `retention` | the oldest events | up to [`BATCH`] rows deleted | |
//!
//! No step waits for a row or for the lock of a table: what others have locked is left for the next pass. A row is written
//! only if its version is the one that is meant. After a crash before a commit, the registry is gone with the crash, or, if
//! only the worker died, still says what there is to do. After a crash between the commit and the report, an entry remains
//! whose row is gone or newer, and the next look at it says so.

pub mod expire;
pub mod flush;
pub mod purge;
pub mod retention;

/// The most rows of one transaction.
pub const BATCH: usize = 500;
