//! What a check is asked, and what it answers.

use std::rc::Rc;

use session_timeout_core::params::Params;
use session_timeout_core::registry::{Key, Row};
use session_timeout_core::verdict::{Request, Session, Status};

use super::context::Context;
use crate::pg::slot::Tuple;
use crate::rows::session;

/// What a check needs, collected once.
pub struct Check {
    /// Shared memory, and the extension's objects.
    pub context: Context,
    /// The registry's key of the session.
    pub key: Key,
    /// The parameters in force.
    pub params: Rc<Params>,
    /// What kind of request it is.
    pub request: Request,
}

impl Check {
    /// Calls `look` with the newest tuple of the session; `None` if there is none. May wait for DDL on the table.
    pub fn read<T>(&self, look: impl Fn(Tuple) -> T) -> Option<T> {
        session::read_newest(self.context.objects.session, &self.key.digest, look)
    }
}

/// What a check answers.
pub struct Answer {
    /// The answer in a word.
    pub status: Status,
    /// The session as it now stands; `None` if there is none.
    pub session: Option<Session>,
}

impl Answer {
    /// There is no session.
    pub fn none(status: Status) -> Self {
        Self { status, session: None }
    }

    /// There is a session in this state.
    pub fn of(status: Status, session: Session) -> Self {
        Self {
            status,
            session: Some(session),
        }
    }

    /// The row that was judged, with everything that was known of its session then.
    pub fn judged_row(&self, row: &Row) -> Row {
        Row {
            session: self.session.unwrap_or(row.session),
            ..*row
        }
    }
}
