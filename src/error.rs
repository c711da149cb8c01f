//! Every error that this extension raises: SQLSTATE, message, hint.
//!
//! No message contains a session id, and `pg::fcall` keeps the statement out of the log. Messages are ASCII, because they
//! must be valid in every server encoding.

use std::ffi::{CStr, CString};

use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys::panic::ErrorReport};
use session_timeout_core::digest::{MAX_SID_BYTES, MAX_USER_NAME_BYTES};
use session_timeout_core::params::{self, ParamError};

/// An error that is reported to the client.
#[derive(Debug)]
pub enum Error {
    /// A session id of more than 1024 bytes. The message does not contain it.
    SidTooLong { bytes: usize },
    /// A NULL or empty session id for `open_session`.
    SidMissing,
    /// A user name of more than 1024 bytes.
    UserNameTooLong { bytes: usize },
    /// An argument of `open_session` that must be a positive interval.
    LimitNotPositive { argument: &'static str },
    /// `rotate_session` to the id of an open session.
    AlreadyOpen,
    /// An unrecognized parameter, or an invalid value.
    Parameter(ParamError),
    /// A NULL parameter key.
    KeyMissing,
    /// `PREPARE TRANSACTION` in a transaction that has changed sessions or parameters.
    PrepareAfterChange,
    /// This database does not have the extension.
    NotInstalled,
    /// This database has the extension, but a table or sequence of it is missing or renamed.
    ObjectsMissing,
    /// A trigger function that was not called by a trigger on its table.
    NotATrigger { function: &'static str },
    /// A NOT NULL column without a default that was added to one of the extension's tables.
    ColumnNeedsValue { column: CString },
    /// A stored generated column that was added to one of the extension's tables.
    ColumnGenerated { column: CString },
    /// One of the extension's tables was renamed.
    TableRenamed { table: CString },
    /// Another kind of relation, such as a view, has the name of one of the extension's tables.
    NotATable { table: CString },
    /// A column of one of the extension's tables was dropped or renamed.
    ColumnMissing { table: CString, column: &'static CStr },
    /// A column of one of the extension's tables has another type.
    ColumnTypeAltered {
        table: CString,
        column: &'static CStr,
        is: CString,
        was: CString,
    },
    /// The unique index that finds the rows is missing.
    KeyIndexMissing { table: CString, column: &'static CStr },
    /// One of the extension's sequences was altered and may return a value twice.
    SequenceAltered { sequence: CString },
    /// The composite type that a function returns has other columns.
    RowTypeAltered { row_type: CString },
    /// A trigger fired by the current command has modified the row that the command is modifying.
    ModifiedBySameCommand,
}

impl From<ParamError> for Error {
    fn from(error: ParamError) -> Self {
        Self::Parameter(error)
    }
}

impl Error {
    /// SQLSTATE, message and hint.
    pub fn parts(self) -> (PgSqlErrorCode, String, String) {
        use PgSqlErrorCode::*;
        match self {
            Self::SidTooLong { bytes } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("session id is too long: {bytes} bytes"),
                format!("A session id must have 1 to {MAX_SID_BYTES} bytes."),
            ),
            Self::SidMissing => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                "session id must not be NULL or empty".into(),
                format!("A session id must have 1 to {MAX_SID_BYTES} bytes."),
            ),
            Self::UserNameTooLong { bytes } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("user name is too long: {bytes} bytes"),
                format!("A user name must have at most {MAX_USER_NAME_BYTES} bytes."),
            ),
            Self::LimitNotPositive { argument } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("{argument} must be greater than 0"),
                "A session's own limit can only shorten what the parameters allow. NULL means no limit of its own."
                    .into(),
            ),
            Self::AlreadyOpen => (
                ERRCODE_UNIQUE_VIOLATION,
                "a session is already open under the new session id".into(),
                "Rotate to a newly generated session id, or close the open session first.".into(),
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
                    "The parameters of this extension have keys that begin with \"{}\".",
                    params::PREFIX
                ),
            ),
            Self::PrepareAfterChange => (
                ERRCODE_FEATURE_NOT_SUPPORTED,
                "cannot PREPARE a transaction that has changed sessions or their parameters".into(),
                "Change sessions and parameters in a transaction of their own.".into(),
            ),
            Self::NotInstalled => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "extension \"inactive_session_timeout\" is not installed in this database".into(),
                "Run CREATE EXTENSION inactive_session_timeout.".into(),
            ),
            Self::ObjectsMissing => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "tables or sequences of extension \"inactive_session_timeout\" are missing or renamed".into(),
                "Restore their names and their schema session_timeout, or drop and re-create the extension.".into(),
            ),
            Self::NotATrigger { function } => (
                ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED,
                format!("function \"{function}\" can only be called by a trigger on its table"),
                "CREATE EXTENSION creates the triggers that call it.".into(),
            ),
            Self::ColumnNeedsValue { column } => (
                ERRCODE_NOT_NULL_VIOLATION,
                format!(
                    "null value in column \"{}\", added to a table of this extension, violates not-null constraint",
                    shown(&column)
                ),
                "Give the column a default, or drop its NOT NULL constraint.".into(),
            ),
            Self::ColumnGenerated { column } => (
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!(
                    "stored generated column \"{}\", added to a table of this extension, is not supported",
                    shown(&column)
                ),
                "Drop the column, and compute its value in a view.".into(),
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
                "sequence \"session_timeout.{}\" has been altered: it descends, cycles, or has exceeded the range of its column",
                shown(&sequence)
            )),
            Self::RowTypeAltered { row_type } => altered(format!("type {} has been altered", shown(&row_type))),
            Self::ModifiedBySameCommand => (
                ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION,
                "the session was already modified by an operation triggered by the current command".into(),
                "Change a session only once per command.".into(),
            ),
        }
    }

    /// Raises the error. Does not return.
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

/// The error for an object of the extension that is not as the install script created it.
fn altered(message: String) -> (PgSqlErrorCode, String, String) {
    (
        PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
        "Undo the change. \"\\d session_timeout.*\" in another database with the extension shows the original definition.".into(),
    )
}

/// A name, escaped to ASCII.
fn shown(name: &CStr) -> String {
    name.to_bytes().escape_ascii().to_string()
}
