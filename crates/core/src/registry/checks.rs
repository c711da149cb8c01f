//! Checks: the entry that answers, and the row that is loaded where there is none; and what a check records that a row
//! answered.

use super::table::{Entry, Place, Reserve};
use super::{Key, Locks, Registry, Row, Word};
use crate::params::Params;
use crate::time::{Clock, Timestamp};
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

/// What a check found in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// An answer.
    Answer {
        /// What it is.
        judgement: Judgement,
        /// The session, after the touch if there was one.
        session: Session,
        /// Whether this check is the one that marked it.
        newly_expired: bool,
        /// Whether this check's touch is the first since the row was last written.
        newly_dirty: bool,
    },
    /// No entry to answer from: read the row and load it with this ticket.
    Miss(Ticket),
    /// The session is being changed: answer from the row, and load nothing.
    Invalidating,
}

/// The right to load a row that was read after it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    generation: u64,
}

/// What became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The entry is there: check again.
    Ready,
    /// Something changed since the ticket was taken: check again.
    Stale,
    /// The session, or one that shares its partition, is being changed: answer from the row that was read.
    Invalidating,
    /// There is no room: see [`table`](super::table).
    Full,
}

/// What became of the touch of a check that a row answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The entry has it.
    Yes,
    /// There is no entry of this opening, nor room for one: the touch is lost.
    NoEntry,
    /// This opening is over: what the row said does not hold any more. Check again.
    Over,
}

/// What is known of a session that has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was closed a while ago.
    Closed,
    /// Nothing.
    Unknown,
    /// Something changed since the ticket was taken: check again.
    Stale,
}

/// What the registry holds of an opening of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its activity.
    pub activity: Timestamp,
    /// What it was found to be.
    pub expiry: Option<Expiry>,
    /// Whether checks are answered from it.
    pub answers: bool,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Answers a request from the entry, touching or marking it. Shared lock.
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
            answer(&entry, params, request, now)
        })
    }

    /// Puts a row that was read after the ticket was taken into the registry. Exclusive lock.
    pub fn load(&self, key: &Key, ticket: Ticket, row: &Row) -> Loaded {
        self.load_if(key, ticket, row, || true)
    }

    /// Likewise, if under the lock the row still is what it was judged to be.
    pub fn load_if(&self, key: &Key, ticket: Ticket, row: &Row, holds: impl FnOnce() -> bool) -> Loaded {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            if !self.stands(place.partition, ticket) || !holds() {
                return Loaded::Stale;
            }
            let entry = match self.table.find(place, key) {
                // What was made for a flux or a mark may lie in the room that is kept for these.
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

    /// Learns that there was no row, after the ticket was taken. Shared lock, and the exclusive one where there is an entry
    /// to be removed.
    pub fn missing(&self, key: &Key, ticket: Ticket) -> Missing {
        let place = self.table.place(key);
        let view = self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key);
            self.known_of_missing(place, ticket, entry)
        });
        view.unwrap_or_else(|| {
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

    /// `None` where the entry is to go.
    fn known_of_missing(&self, place: Place, ticket: Ticket, entry: Option<Entry>) -> Option<Missing> {
        match entry {
            _ if !self.stands(place.partition, ticket) => Some(Missing::Stale),
            Some(entry) if entry.is_closed() => Some(Missing::Closed),
            None => Some(Missing::Unknown),
            Some(entry) if entry.is_invalidating() => Some(Missing::Unknown),
            Some(_) => None,
        }
    }

    /// The activity and the mark that the registry holds for this opening of a session, whatever its state. Shared lock.
    pub fn look(&self, key: &Key, version: i64) -> Option<(Timestamp, Option<Expiry>)> {
        let held = self.held(key, version)?;
        Some((held.activity, held.expiry))
    }

    /// Likewise, and whether checks are answered from it.
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

    /// Moves activity forward where there is an entry of this opening, in flux or not: for a check that was answered from
    /// the row. Shared lock.
    pub fn touch(&self, key: &Key, version: i64, now: Timestamp) -> Touched {
        let place = self.table.place(key);
        self.locks
            .shared(place.partition, || match self.table.find(place, key) {
                Some(entry) if entry.version() > version || entry.is_retired(version) => Touched::Over,
                Some(entry) if entry.version() == version => {
                    // A mark that came first is the greater: the next look finds it.
                    match entry.touch(now).expiry() {
                        None => Touched::Yes,
                        Some(_) => Touched::Over,
                    }
                }
                _ => Touched::NoEntry,
            })
    }

    /// As [`Registry::touch`], and makes an entry, unverified, if there is none of this opening: what it records counts only
    /// for the row's version. `holds` says under the lock whether the row still is what it was judged to be. Exclusive lock.
    pub fn touch_by_row(&self, key: &Key, row: &Row, now: Timestamp, holds: impl FnOnce() -> bool) -> Touched {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                Some(entry) if entry.version() > row.version || entry.is_retired(row.version) => return Touched::Over,
                Some(entry) if entry.version() == row.version => entry,
                // The transaction that wrote the row is about to say what of the older opening goes on with it.
                Some(entry) if entry.is_invalidating() && !entry.is_placeholder() => return Touched::Over,
                _ if !holds() => return Touched::Over,
                found => {
                    let Some(entry) = found.or_else(|| self.insert(place, key, Reserve::Keep)) else {
                        return Touched::NoEntry;
                    };
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                    entry
                }
            };
            match entry.touch(now).expiry() {
                None => Touched::Yes,
                Some(_) => Touched::Over,
            }
        })
    }

    /// Moves activity forward where the entry is this opening's; makes one, unverified, where there is none: for a
    /// standby, whose checks ask the row each time. Whether it is held. Exclusive lock.
    pub fn remember(&self, key: &Key, row: &Row, now: Timestamp) -> bool {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                Some(entry) if entry.version() == row.version => entry,
                Some(entry) => {
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry
                }
                None => match self.insert(place, key, Reserve::KeepAndForce) {
                    Some(entry) => {
                        entry.fill(row, Word::of(row.session.last_activity));
                        entry
                    }
                    None => return false,
                },
            };
            entry.set_unverified();
            entry.touch(now);
            true
        })
    }

    fn ticket(&self, partition: usize) -> Ticket {
        Ticket {
            generation: self.table.generation(partition),
        }
    }

    fn stands(&self, partition: usize, ticket: Ticket) -> bool {
        self.table.generation(partition) == ticket.generation
    }
}

/// Judges a verified entry, and touches or marks it.
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
                // A touch or another's mark came first: judge what is there now.
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
