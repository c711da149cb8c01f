//! The rules of `inactive_session_timeout`, as plain functions of values.
//!
//! Nothing here knows PostgreSQL, reads a clock or does I/O of its own: the caller passes time, rows and texts, and gets
//! decisions back. The extension's library, the root package, converts at the border. The tests here need no server.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`digest`] | the name under which a session is stored |
//! | [`params`] | the parameters: keys, defaults, what is refused |
//! | [`span`] | how the text of a time parameter is read |
//! | [`time`] | points in time, saturating arithmetic |
//! | [`url`] | which URLs are ignored |
//! | [`verdict`] | what a check answers |
//! | [`event`] | what is reported of a session that has ended |
//! | [`registry`] | the live sessions in shared memory |
//! | [`clock_watch`] | whether the system's clock was set back |
//! | [`page_bounds`] | until when a purge need not read a page |
//! | [`savepoints`] | which of a transaction's notes a rollback to a savepoint leaves |
#![forbid(unsafe_code)]

pub mod clock_watch;
pub mod digest;
pub mod event;
mod excerpt;
pub mod page_bounds;
pub mod params;
pub mod registry;
pub mod savepoints;
pub mod span;
pub mod time;
pub mod url;
pub mod verdict;
