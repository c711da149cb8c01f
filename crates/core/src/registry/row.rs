//! A row, as the caller has read it.

use crate::verdict::Session;

/// What the registry keeps of a row of the session table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Clocks and limits.
    pub session: Session,
    /// Which login of the session it is. Of one session, a later login or change has a greater version.
    pub version: i64,
}
