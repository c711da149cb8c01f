//! Every error that this extension raises: SQLSTATE, what was wrong, what is allowed.
//!
//! No message shows a session id; `entry` keeps the statement out of the log. Messages are ASCII, since the server's
//! encoding may be any.

use std::ffi::{CStr, CString};

use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys::panic::ErrorReport};
use session_timeout_core::digest::{MAX_SID_BYTES, MAX_USER_NAME_BYTES};
use session_timeout_core::params::{self, ParamError};

/// What went wrong, for the person who reads it.
#[derive(Debug)]
pub enum Error {
    /// A session id of more than 1024 bytes. It is never shown.
    SidTooLong { bytes: usize },
    /// A session cannot be opened under a NULL or empty id.
    SidMissing,
    /// A user name of more than 1024 bytes.
    UserNameTooLong { bytes: usize },
    /// A session's own limit that is not positive.
    LimitNotPositive { argument: &'static str },
    /// `rotate_session` to an id under which a session is open.
    AlreadyOpen,
    /// A parameter key or value that is refused.
    Parameter(ParamError),
    /// A NULL key.
    KeyMissing,
    /// `PREPARE TRANSACTION` after sessions or parameters were changed.
    PrepareAfterChange,
    /// The extension's objects are not in this database.
    NotInstalled,
    /// A trigger function called otherwise.
    NotATrigger { function: &'static str },
    /// A column that somebody has added to one of our tables, which has no value in a new row and needs one.
    ColumnNeedsValue { column: CString },
    /// A column that somebody has added to one of our tables, computed from others and stored.
    ColumnGenerated { column: CString },
    /// A row changed under a lock that should have kept it: a trigger of the same command wrote it.
    ModifiedBySameCommand,
}

impl From<ParamError> for Error {
    fn from(error: ParamError) -> Self {
        Self::Parameter(error)
    }
}

impl Error {
    /// SQLSTATE, what was wrong, what is allowed.
    pub fn parts(self) -> (PgSqlErrorCode, String, String) {
        use PgSqlErrorCode::*;
        match self {
            Self::SidTooLong { bytes } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("session id is too long: {bytes} bytes"),
                format!("A session id has 1 to {MAX_SID_BYTES} bytes."),
            ),
            Self::SidMissing => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                "session id must not be NULL or empty".into(),
                format!("A session id has 1 to {MAX_SID_BYTES} bytes."),
            ),
            Self::UserNameTooLong { bytes } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("user name is too long: {bytes} bytes"),
                format!("A user name has at most {MAX_USER_NAME_BYTES} bytes."),
            ),
            Self::LimitNotPositive { argument } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("{argument} must be a positive interval"),
                "A session's own limit shortens what the parameters allow; NULL leaves them as they are.".into(),
            ),
            Self::AlreadyOpen => (
                ERRCODE_UNIQUE_VIOLATION,
                "a session is already open under the new session id".into(),
                "Rotate to a session id that has just been generated, or close that session first.".into(),
            ),
            Self::Parameter(error) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                error.message().into(),
                error.hint().into(),
            ),
            Self::KeyMissing => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                "parameter key must not be NULL".into(),
                format!(
                    "The parameters of this extension are the keys that begin with \"{}\".",
                    params::PREFIX
                ),
            ),
            Self::PrepareAfterChange => (
                ERRCODE_FEATURE_NOT_SUPPORTED,
                "cannot PREPARE a transaction that has changed sessions or their parameters".into(),
                "Open, close and rotate sessions in a transaction of their own.".into(),
            ),
            Self::NotInstalled => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "extension \"inactive_session_timeout\" is not installed in this database".into(),
                "Run CREATE EXTENSION inactive_session_timeout.".into(),
            ),
            Self::NotATrigger { function } => (
                ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                format!("{function} can only be called as a trigger"),
                "CREATE EXTENSION makes the triggers that use it.".into(),
            ),
            Self::ColumnNeedsValue { column } => (
                ERRCODE_NOT_NULL_VIOLATION,
                format!(
                    "null value in column \"{}\", which was added to a table of this extension",
                    shown(&column)
                ),
                "Give the column a default, or let it be NULL.".into(),
            ),
            Self::ColumnGenerated { column } => (
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!(
                    "column \"{}\", which was added to a table of this extension, is generated",
                    shown(&column)
                ),
                "Drop it, and compute it in a view.".into(),
            ),
            Self::ModifiedBySameCommand => (
                ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                "the session was already modified by an operation triggered by the current command".into(),
                "Change a session once in a command.".into(),
            ),
        }
    }

    /// Raises it: does not return.
    pub fn raise(self) -> ! {
        ErrorReport::from(self).report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        let (code, message, hint) = error.parts();
        Self::new(code, message, "").set_hint(hint)
    }
}

/// A name, in ASCII.
fn shown(name: &CStr) -> String {
    name.to_bytes().escape_ascii().to_string()
}
