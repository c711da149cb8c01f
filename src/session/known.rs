//! What row, registry and current transaction together know of a session.

use session_timeout_core::params::Params;
use session_timeout_core::registry::{Key, Row};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Expiry, Judgement, Request, Session, judge};

use crate::pg::clock;
use crate::shared::attached::Attached;
use crate::xact::notes;

/// A session, as row, registry and current transaction together know it.
pub struct Known {
    /// The session, with the newest activity of the three.
    pub session: Session,
    /// The limit by which somebody has found it expired: that is final.
    pub expired: Option<Expiry>,
}

impl Known {
    /// What is known of the session in a row. `attached` is shared memory, if there is some.
    pub fn of(attached: Option<&Attached>, key: &Key, row: &Row) -> Self {
        let Some(attached) = attached else {
            return Self {
                session: row.session,
                expired: None,
            };
        };
        // Others touch and expire the login as they see it, until the version that this transaction gave it is committed.
        let (shared_key, shared_version) = notes::origin_of(key, row.version);
        let entry = attached.shared.registry.held(&shared_key, shared_version);
        let (local_activity, local_expiry) = notes::local_state(key, row.version);
        let activities = [entry.map(|entry| entry.activity), local_activity]
            .into_iter()
            .flatten();
        let session = Session {
            last_activity: activities.fold(row.session.last_activity, Timestamp::max),
            ..row.session
        };
        let expired = entry.and_then(|entry| entry.expiry).or(local_expiry).or_else(|| {
            if entry.is_some_and(|entry| entry.answers) {
                None
            } else {
                unrecorded_expiry(attached, &session)
            }
        });
        Self { session, expired }
    }

    /// The limit by which it was found expired, or which it has passed by now.
    pub fn expiry(&self, params: &Params) -> Option<Expiry> {
        self.expired
            .or(match judge(&self.session, params, Request::Look, clock::now()) {
                Judgement::Expired(expiry) => Some(expiry),
                Judgement::Valid { .. } => None,
            })
    }
}

/// Whether a session without a verified entry may have been found expired when the registry had no room to record it.
fn unrecorded_expiry(attached: &Attached, session: &Session) -> Option<Expiry> {
    let limits = attached.database()?.unrecorded.limits();
    if limits.is_none() {
        return None;
    }
    limits.expiry(session, clock::now())
}
