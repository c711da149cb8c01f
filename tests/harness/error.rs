//! The fields of an error that the server reported.

use std::fmt;

use postgres::Error;

/// An error as the server reported it: what a test compares. Absent fields are empty strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// The detail line.
    pub detail: String,
    /// The hint line.
    pub hint: String,
    /// The context: functions and statements that were being executed.
    pub context: String,
}

impl ServerError {
    /// The server's fields of `error`. Panics where the error did not come from the server, such as a lost
    /// connection.
    pub fn of(error: &Error) -> Self {
        let Some(db) = error.as_db_error() else {
            panic!("expected an error from the server, got: {error:?}");
        };
        let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
        Self {
            sqlstate: db.code().code().to_owned(),
            message: db.message().to_owned(),
            detail: text(db.detail()),
            hint: text(db.hint()),
            context: text(db.where_()),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sqlstate, self.message)?;
        for (name, value) in [
            ("detail", &self.detail),
            ("hint", &self.hint),
            ("context", &self.context),
        ] {
            if !value.is_empty() {
                write!(f, "\n{name}: {value}")?;
            }
        }
        Ok(())
    }
}

/// The error that the server answered with; panics where it answered with a result.
#[track_caller]
pub fn error_of<T>(result: Result<T, Error>) -> ServerError {
    match result {
        Ok(_) => panic!("the server was expected to refuse this, and did not"),
        Err(error) => ServerError::of(&error),
    }
}
