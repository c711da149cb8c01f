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
    /// The extension is not in this database.
    NotInstalled,
    /// The extension is in this database, but not all of its tables and sequences are, under their names.
    ObjectsMissing,
    /// A trigger function called otherwise.
    NotATrigger { function: &'static str },
    /// A column that somebody has added to one of our tables, which has no value in a new row and needs one.
    ColumnNeedsValue { column: CString },
    /// A column that somebody has added to one of our tables, computed from others and stored.
    ColumnGenerated { column: CString },
    /// A table of ours under another name.
    TableRenamed { table: CString },
    /// Something else under the name of a table of ours: a view, say.
    NotATable { table: CString },
    /// A column of ours that somebody has dropped or renamed.
    ColumnMissing { table: CString, column: &'static CStr },
    /// A column of ours to which somebody has given another type.
    ColumnTypeAltered {
        table: CString,
        column: &'static CStr,
        is: CString,
        was: CString,
    },
    /// The unique index by which rows are found is gone.
    KeyIndexMissing { table: CString, column: &'static CStr },
    /// A sequence of ours that may give a number again.
    SequenceAltered { sequence: CString },
    /// A type that our functions return, with other columns.
    RowTypeAltered { row_type: CString },
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
            Self::ObjectsMissing => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "tables or sequences of extension \"inactive_session_timeout\" are missing or renamed".into(),
                "Give them back their names and the schema session_timeout, or drop and create the extension.".into(),
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
            Self::TableRenamed { table } => altered(format!(
                "table \"{}\" of extension \"inactive_session_timeout\" has been renamed",
                shown(&table)
            )),
            Self::NotATable { table } => altered(format!("\"session_timeout.{}\" is not a table", shown(&table))),
            Self::ColumnMissing { table, column } => altered(format!(
                "column \"{}\" of table \"session_timeout.{}\" has been dropped or renamed",
                shown(column),
                shown(&table)
            )),
            Self::ColumnTypeAltered { table, column, is, was } => altered(format!(
                "column \"{}\" of table \"session_timeout.{}\" has type {} instead of {}",
                shown(column),
                shown(&table),
                shown(&is),
                shown(&was)
            )),
            Self::KeyIndexMissing { table, column } => altered(format!(
                "table \"session_timeout.{}\" has no unique index on column \"{}\"",
                shown(&table),
                shown(column)
            )),
            Self::SequenceAltered { sequence } => altered(format!(
                "sequence \"session_timeout.{}\" has been altered: it counts down, cycles, or has passed what fits its column",
                shown(&sequence)
            )),
            Self::RowTypeAltered { row_type } => altered(format!("type {} has been altered", shown(&row_type))),
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

/// An object of ours that is not as the install script made it.
fn altered(message: String) -> (PgSqlErrorCode, String, String) {
    (
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
        "Make it what CREATE EXTENSION made it; see \"\\d session_timeout.*\" in a database where nobody has altered it.".into(),
    )
}

/// A name, in ASCII.
fn shown(name: &CStr) -> String {
    name.to_bytes().escape_ascii().to_string()
}
