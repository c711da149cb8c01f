//! Checks: the entry that answers, the row that is loaded if there is none, and what a check records if a row answered.

use super::entry::Entry;
use super::eviction::Reserve;
use super::handle::Registry;
use super::key::Key;
use super::locks::Locks;
use super::row::Row;
use super::table::Place;
use super::word::Word;
use crate::params::Params;
use crate::time::{Clock, Timestamp};
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

/// What a check found in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The entry answered.
    Answer {
        /// The answer.
        judgement: Judgement,
        /// The session, after the touch if there was one.
        session: Session,
        /// Whether this check set the expired flag.
        newly_expired: bool,
        /// Whether this check's touch is the first since the row was last written.
        newly_dirty: bool,
    },
    /// No entry can answer: read the row, and load it with this ticket.
    Miss(Ticket),
    /// The session is being invalidated: answer from the row, and load nothing.
    Invalidating,
}

/// The right to load a row that was read after the ticket was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    generation: u64,
}

/// The result of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The entry is there: check again.
    Ready,
    /// Something has changed since the ticket was taken: check again.
    Stale,
    /// The session, or one without an entry in its partition, is being invalidated: answer from the row that was read.
    Invalidating,
    /// There is no room: see `eviction`.
    Full,
}

/// The result of a touch by a check that a row answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The entry has it.
    Yes,
    /// This login has no entry, and there is no room for one: the touch is lost.
    NoEntry,
    /// This login is over, so the row no longer holds: check again.
    Over,
}

/// What is known of a session that has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was closed a while ago.
    Closed,
    /// Nothing.
    Unknown,
    /// Something has changed since the ticket was taken: check again.
    Stale,
}

/// What the registry holds of one login of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its activity.
    pub activity: Timestamp,
    /// Its expired flag.
    pub expiry: Option<Expiry>,
    /// Whether checks are answered from the entry.
    pub answers: bool,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Answers a request from the entry, and touches the entry or sets its expired flag. Shared lock.
    pub fn check(&self, key: &Key, params: &Params, request: Request, clock: impl Clock) -> Checked {
        let place = self.table.place(key);
        self.locks.shared_timed(place.partition, |has_waited| {
            let Some(entry) = self.table.find(place, key) else {
                return Checked::Miss(self.ticket(place.partition));
            };
            if entry.is_invalidating() {
                return Checked::Invalidating;
            }
            if entry.is_unverified() {
                return Checked::Miss(self.ticket(place.partition));
            }
            let now = if has_waited {
                clock.now_after_wait()
            } else {
                clock.now()
            };
            let checked = answer(&entry, params, request, now);
            if let Checked::Answer {
                newly_expired,
                newly_dirty,
                ..
            } = checked
                && (newly_expired || newly_dirty)
            {
                self.table.list(place.partition, &entry);
            }
            checked
        })
    }

    /// Loads a row that was read after the ticket was taken. Exclusive lock.
    pub fn load(&self, key: &Key, ticket: Ticket, row: &Row) -> Loaded {
        self.load_if(key, ticket, row, || true)
    }

    /// As [`Registry::load`], if `holds` confirms under the lock that the row's judgement still stands.
    pub fn load_if(&self, key: &Key, ticket: Ticket, row: &Row, holds: impl FnOnce() -> bool) -> Loaded {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            if !self.is_current(place.partition, ticket) || !holds() {
                return Loaded::Stale;
            }
            let entry = match self.table.find(place, key) {
                // It may lie in the reserve, if it was made for an invalidation or an expired flag.
                Some(entry) if entry.is_evictable() && self.table.is_reserve_in_use(place.partition) => {
                    if entry.version() == row.version && entry.word().activity() > row.session.last_activity {
                        return Loaded::Stale;
                    }
                    self.table.give_up(place, entry);
                    None
                }
                entry => entry,
            };
            match entry {
                Some(entry) if entry.is_invalidating() => Loaded::Invalidating,
                Some(entry) => {
                    entry.verify(row);
                    self.table.list(place.partition, &entry);
                    Loaded::Ready
                }
                None if self.table.absent_invalidations(place.partition) > 0 => Loaded::Invalidating,
                None => match self.insert(place, key, Reserve::Keep) {
                    Some(entry) => {
                        entry.fill(row, Word::of(row.session.last_activity));
                        Loaded::Ready
                    }
                    None => Loaded::Full,
                },
            }
        })
    }

    /// There was no row, read after the ticket was taken. Shared lock; the exclusive lock too if an entry must be removed.
    pub fn missing(&self, key: &Key, ticket: Ticket) -> Missing {
        let place = self.table.place(key);
        let known = self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key);
            self.known_of_missing(place, ticket, entry)
        });
        known.unwrap_or_else(|| {
            self.locks.exclusive(place.partition, || {
                let entry = self.table.find(place, key);
                let known = self.known_of_missing(place, ticket, entry);
                if let (None, Some(entry)) = (known, entry) {
                    self.table.remove(place, entry);
                }
                known.unwrap_or(Missing::Unknown)
            })
        })
    }

    /// `None` if the entry must be removed.
    fn known_of_missing(&self, place: Place, ticket: Ticket, entry: Option<Entry>) -> Option<Missing> {
        match entry {
            _ if !self.is_current(place.partition, ticket) => Some(Missing::Stale),
            Some(entry) if entry.is_closed() => Some(Missing::Closed),
            None => Some(Missing::Unknown),
            Some(entry) if entry.is_invalidating() => Some(Missing::Unknown),
            Some(_) => None,
        }
    }

    /// Activity and expired flag of this login, whatever state its entry is in. Shared lock.
    pub fn look(&self, key: &Key, version: i64) -> Option<(Timestamp, Option<Expiry>)> {
        let held = self.held(key, version)?;
        Some((held.activity, held.expiry))
    }

    /// As [`Registry::look`], and whether checks are answered from the entry.
    pub fn held(&self, key: &Key, version: i64) -> Option<Held> {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key).filter(|entry| entry.version() == version)?;
            let word = entry.word();
            Some(Held {
                activity: word.activity(),
                expiry: word.expiry(),
                answers: !entry.is_unverified() && !entry.is_invalidating(),
            })
        })
    }

    /// Moves activity forward if this login has an entry, being invalidated or not: for a check that the row answered.
    /// Shared lock.
    pub fn touch(&self, key: &Key, version: i64, now: Timestamp) -> Touched {
        let place = self.table.place(key);
        self.locks
            .shared(place.partition, || match self.table.find(place, key) {
                Some(entry) if entry.version() > version || entry.is_retired(version) => Touched::Over,
                Some(entry) if entry.version() == version => self.record_touch(place, &entry, now),
                Some(_) | None => Touched::NoEntry,
            })
    }

    /// As [`Registry::touch`]; makes an unverified entry if this login has none, so that the touch counts only for the row's
    /// version. `holds` confirms under the lock that the row's judgement still stands. Exclusive lock.
    pub fn touch_by_row(&self, key: &Key, row: &Row, now: Timestamp, holds: impl FnOnce() -> bool) -> Touched {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                Some(entry) if entry.version() > row.version || entry.is_retired(row.version) => return Touched::Over,
                Some(entry) if entry.version() == row.version => entry,
                // The transaction that wrote the row is about to hand on to it what the older login ended with.
                Some(entry) if entry.is_invalidating() && !entry.is_placeholder() => return Touched::Over,
                _ if !holds() => return Touched::Over,
                found => {
                    let Some(entry) = found.or_else(|| self.insert(place, key, Reserve::Keep)) else {
                        return Touched::NoEntry;
                    };
                    entry.fill_unverified(row);
                    entry
                }
            };
            self.record_touch(place, &entry, now)
        })
    }

    fn record_touch(&self, place: Place, entry: &Entry, now: Timestamp) -> Touched {
        let before = entry.touch(now);
        self.table.list(place.partition, entry);
        match before.expiry() {
            None => Touched::Yes,
            // The expired flag came first, and stays: the next look finds it.
            Some(_) => Touched::Over,
        }
    }

    /// Moves activity forward, in an unverified entry of the row's login: for a standby, whose checks read the row each time.
    /// Whether there was room. Exclusive lock.
    pub fn remember(&self, key: &Key, row: &Row, now: Timestamp) -> bool {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                Some(entry) if entry.version() == row.version => entry,
                found => {
                    let Some(entry) = found.or_else(|| self.insert(place, key, Reserve::KeepAndForce)) else {
                        return false;
                    };
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry
                }
            };
            entry.set_unverified();
            entry.touch(now);
            self.table.list(place.partition, &entry);
            true
        })
    }

    fn ticket(&self, partition: usize) -> Ticket {
        Ticket {
            generation: self.table.generation(partition),
        }
    }

    fn is_current(&self, partition: usize, ticket: Ticket) -> bool {
        self.table.generation(partition) == ticket.generation
    }
}

/// Judges a verified entry, and touches it or sets its expired flag.
fn answer(entry: &Entry, params: &Params, request: Request, now: Timestamp) -> Checked {
    loop {
        let word = entry.word();
        let session = entry.session(word);
        let unchanged = |judgement| Checked::Answer {
            judgement,
            session,
            newly_expired: false,
            newly_dirty: false,
        };
        if let Some(expiry) = word.expiry() {
            return unchanged(Judgement::Expired(expiry));
        }
        let judgement = judge(&session, params, request, now);
        match judgement {
            Judgement::Expired(_) if request == Request::Look => return unchanged(judgement),
            Judgement::Expired(expiry) => {
                if entry.set_expired_if(word, expiry) {
                    return Checked::Answer {
                        judgement,
                        session,
                        newly_expired: true,
                        newly_dirty: false,
                    };
                }
                // Another check's touch or expiry came first: judge the word that is there now.
            }
            Judgement::Valid { touch: false, .. } => return unchanged(judgement),
            Judgement::Valid { touch: true, .. } => {
                let before = entry.touch(now);
                if before.expiry().is_some() {
                    continue;
                }
                return Checked::Answer {
                    judgement,
                    session: Session {
                        last_activity: before.activity().max(now),
                        ..session
                    },
                    newly_expired: false,
                    newly_dirty: entry.was_clean(before),
                };
            }
        }
    }
}
