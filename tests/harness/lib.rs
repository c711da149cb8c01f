//! What the tests of `tests/server/` stand on: throwaway servers, databases and roles that clean up after
//! themselves, the fields of an error, and polling with a deadline.
//!
//! `make test` sets `SESSION_TIMEOUT_PG_BINDIR` to the programs of a private copy of PostgreSQL that has the
//! extension installed; nothing here builds or installs anything.
//!
//! ```no_run
//! use session_timeout_tests::{error_of, shared};
//!
//! let database = shared().database("logout");
//! let mut client = database.connect();
//! client.execute("SELECT session_timeout.open_session('sid')", &[]).unwrap();
//! let error = error_of(client.execute("SELECT session_timeout.open_session(repeat('x', 1025))", &[]));
//! assert_eq!(error.sqlstate, "22023");
//! ```

mod command;
mod database;
mod error;
mod notice;
pub mod param;
mod poll;
mod role;
mod server;

pub use command::run;
pub use database::{Database, DatabaseBuilder};
pub use error::{ServerError, error_of};
pub use notice::{next_notification, notifications};
pub use poll::{eventually, settles, stays, wait_for};
pub use role::Role;
pub use server::{Server, ServerBuilder, Shutdown, shared};

// The crates that tests speak to the server with, at the harness's versions.
pub use {chrono, postgres, serde_json};
