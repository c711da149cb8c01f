//! The rules of `inactive_session_timeout`, as plain functions of values.
//!
//! Nothing here knows PostgreSQL, reads a clock or does any I/O: time, rows and texts are handed in, decisions come
//! back. The extension's library converts at the border (see the root package), the tests here need no server.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`digest`] | the name under which a session is known |
//! | [`params`] | the parameters: keys, defaults, what is refused |
//! | [`span`] | how a time parameter's text is read |
//! | [`time`] | points in time, saturating arithmetic |
//! | [`url`] | which URLs are ignored |
//! | [`verdict`] | what a check answers |
//! | [`event`] | what is told of a session that ended |
//! | [`registry`] | the live sessions in shared memory |
//! | [`savepoints`] | what a rollback to a savepoint leaves of what a transaction has noted |
#![forbid(unsafe_code)]

pub mod digest;
pub mod event;
pub mod params;
pub mod registry;
pub mod savepoints;
pub mod span;
pub mod time;
pub mod url;
pub mod verdict;
