//! Recording that a session is expired, so that it stays so whatever becomes of the transaction that found it.

use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::{Key, Row, SetExpired};
use session_timeout_core::verdict::Expiry;

use super::context::Context;
use super::known::Known;
use crate::pg::clock;
use crate::pg::modification::LockedTuple;
use crate::rows::session::SessionRow;
use crate::shared::attached::Attached;
use crate::xact::notes;

/// A session that was judged to be past a limit.
pub struct FoundExpired {
    /// Its row, with everything that was known of it when it was judged.
    pub row: Row,
    /// Whether the current transaction wrote that row, so that nobody else sees it.
    pub is_own: bool,
    /// The limit.
    pub expiry: Expiry,
}

/// What became of recording it.
pub enum Recorded {
    /// It is final from now on, or from the end of this transaction on, as far as there is room to record it.
    Yes,
    /// The session has been touched meanwhile: it is valid.
    StillValid,
    /// The row is not the newest, or is being replaced: look again.
    Outdated,
}

/// Records in memory that a session is past a limit. `insist` if looking again has not helped.
pub fn record(attached: &Attached, key: &Key, found: &FoundExpired, params: &Params, insist: bool) -> Recorded {
    let FoundExpired { row, is_own, expiry } = found;
    let registry = &attached.shared.registry;
    let now = clock::now();
    let set = || match (notes::has_changed_parameters(), *is_own) {
        // Found by what only this transaction sees.
        (true, _) => None,
        (false, true) => registry.set_expired_if_known(key, row, params, now),
        (false, false) => Some(registry.set_expired(key, row, params, now, insist)),
    };
    let mut outcome = set();
    if outcome == Some(SetExpired::Full)
        && let Some(database) = attached.database()
    {
        database.unrecorded.add(&row.session, *expiry, now);
        // Only the purge will find it, by its row.
        database.hurry_purge();
        // A load that did not see the new limits may have made an entry meanwhile.
        outcome = set();
    }
    match outcome {
        Some(SetExpired::Yes(_) | SetExpired::Full) => attached.hurry(),
        Some(SetExpired::No) => return Recorded::StillValid,
        Some(SetExpired::Over) => return Recorded::Outdated,
        None => notes::expire_later(key, row, *expiry),
    }
    Recorded::Yes
}

/// What is known of the session in a locked row, and which limit it has passed, for a function that acts on it: what it
/// finds is final, whatever becomes of its transaction.
pub fn find(context: &Context, digest: &Digest, row: &LockedTuple, params: &Params) -> (Known, Option<Expiry>) {
    let key = context.objects.key(digest);
    loop {
        let known = Known::of(context.attached.as_ref(), &key, &row.row());
        let Some(expiry) = known.expiry(params) else {
            return (known, None);
        };
        let Some(attached) = context.attached.as_ref().filter(|_| known.expired.is_none()) else {
            return (known, Some(expiry));
        };
        let found = FoundExpired {
            row: Row {
                session: known.session,
                version: row.version(),
            },
            is_own: row.is_own(),
            expiry,
        };
        match record(attached, &key, &found, params, true) {
            Recorded::Yes | Recorded::Outdated => return (known, Some(expiry)),
            Recorded::StillValid => {}
        }
    }
}
