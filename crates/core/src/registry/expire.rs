//! Setting the expired flag of a session that was found past a limit on its row, by the purge or by a check.
//!
//! The flag is bound to the row's version: it stays, whatever becomes of the limits or of a transaction that is changing the
//! session, as long as the row has this version.

use super::entry::Entry;
use super::eviction::Reserve;
use super::handle::Registry;
use super::key::Key;
use super::locks::Locks;
use super::row::Row;
use crate::params::Params;
use crate::time::Timestamp;
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

/// The result of an attempt to set the expired flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetExpired {
    /// The flag is set: from now on no check lets the session in.
    Yes(Expiry),
    /// The session is valid after all.
    No,
    /// The row is not the newest, or is being replaced: look again.
    Over,
    /// There is no room for an entry.
    Full,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Sets the expired flag if the newer of row and entry is past a limit, even if the session is being invalidated. `insist`:
    /// to look again has led to nothing. Exclusive lock.
    pub fn set_expired(&self, key: &Key, row: &Row, params: &Params, now: Timestamp, insist: bool) -> SetExpired {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                // Versions of a session only grow: if the entry has a greater one, the row is not the newest.
                Some(entry) if entry.version() > row.version => return SetExpired::Over,
                Some(entry) if entry.is_retired(row.version) => return SetExpired::Over,
                Some(entry) if entry.version() == row.version => entry,
                // The transaction that wrote the row is about to hand on to it what the older login ended with.
                Some(entry) if entry.is_invalidating() && !entry.is_placeholder() && !insist => {
                    return SetExpired::Over;
                }
                found => {
                    let Some(entry) = found.or_else(|| self.insert(place, key, Reserve::Use)) else {
                        return SetExpired::Full;
                    };
                    entry.fill_unverified(row);
                    entry
                }
            };
            self.judge_and_set(place.partition, &entry, row, params, now)
        })
    }

    /// As [`Registry::set_expired`], but only if there is an entry of the row's version, otherwise `None`: for a row that others
    /// do not see yet, of a version that they know. Exclusive lock.
    pub fn set_expired_if_known(&self, key: &Key, row: &Row, params: &Params, now: Timestamp) -> Option<SetExpired> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            let is_meant = entry.version() == row.version && !entry.is_closed();
            is_meant.then(|| self.judge_and_set(place.partition, &entry, row, params, now))
        })
    }

    fn judge_and_set(&self, partition: usize, entry: &Entry, row: &Row, params: &Params, now: Timestamp) -> SetExpired {
        let set = judge_and_set(entry, row, params, now);
        self.table.list(partition, entry);
        set
    }
}

/// Under the exclusive lock. If a touch has come since the row was judged, it counts.
fn judge_and_set(entry: &Entry, row: &Row, params: &Params, now: Timestamp) -> SetExpired {
    if let Some(expiry) = entry.word().expiry() {
        return SetExpired::Yes(expiry);
    }
    let newest = Session {
        last_activity: entry.word().activity().max(row.session.last_activity),
        ..row.session
    };
    match judge(&newest, params, Request::Look, now) {
        Judgement::Expired(expiry) => {
            entry.set_expired(expiry);
            SetExpired::Yes(expiry)
        }
        Judgement::Valid { .. } => SetExpired::No,
    }
}
