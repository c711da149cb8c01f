//! The live sessions, in memory that all backends share.
//!
//! Plain data and logic: memory and locks are handed in, time and rows too. See `docs/architecture.md` for the whole
//! protocol; in short:
//!
//! - A **check** finds its entry under the partition's shared lock, judges it, and touches it with one atomic maximum or
//!   marks it with one compare-and-exchange ([`word`]). It allocates nothing.
//! - An entry is a **copy of a row**, good as long as nobody has committed a change of that row. Whoever changes a row
//!   puts its entry *in flux* before committing ([`Registry::begin_flux`]: checks then ask the row) and makes it
//!   *unverified* afterwards ([`Registry::end_flux`]: the next check reads the row again). Activity is kept where the
//!   row's version is still the entry's.
//! - A **load** notes the partition's generation, reads the row, and inserts it only if the generation still stands:
//!   every end of a flux bumps it, so that no row read before a commit gets in after it. A session in flux that has no
//!   entry gets one for the purpose; where there is no room, the whole partition takes no loads for that moment.
//! - **Eviction** takes only what the row knows too: clean, unmarked, not in flux.
//!
//! Locks: one partition's at a time, and nothing is called under it but what is in this module.

pub mod change;
pub mod memory;
pub mod snapshot;
mod table;
pub mod word;

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU32;

use chrono::TimeDelta;

use crate::digest::Digest;
use crate::params::Params;
use crate::time::Timestamp;
use crate::verdict::{Expiry, Judgement, Request, Session, judge};

pub use memory::{Layout, Memory, Partition, Slot};
use table::{Entry, Room, Table};
pub use word::Word;

/// The partitions' locks.
pub trait Locks {
    /// Runs `work` under the partition's lock, shared with others who read.
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
    /// Runs `work` under the partition's lock, alone.
    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
}

/// A session's name among all databases: an extension dropped and created anew finds nothing of the old, as its table
/// has another OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// OID of the database.
    pub database: u32,
    /// OID of the session table.
    pub table: u32,
    /// Digest of the session id.
    pub digest: Digest,
}

/// A row as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Clocks and limits.
    pub session: Session,
    /// Which opening of the session id it is.
    pub version: i64,
}

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
        newly_marked: bool,
        /// Whether this check's touch is the first since the row was last written.
        newly_dirty: bool,
    },
    /// No entry to answer from: read the row and load it with this ticket.
    Miss(Ticket),
    /// The session is being changed: answer from the row, and load nothing.
    InFlux,
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
    InFlux,
    /// There is no room, as all entries hold activity that no row knows yet.
    Full,
}

/// What became of the touch of a check that a row answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The entry has it.
    Yes,
    /// There is no entry of this opening: the touch is lost.
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

/// A session in flux, to be given back to [`Registry::end_flux`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flux {
    /// Its entry, which was this opening's, counts it: one that was made for this, where it had none.
    Entry(i64),
    /// There was no room for an entry: its partition counts it, and takes no loads meanwhile.
    Absent,
}

/// How a transaction that changed a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Rolled back.
    Aborted,
    /// Committed; the change may be any.
    Committed,
    /// Committed, and the session was closed.
    Closed,
}

/// What a transaction that is over leaves to the entry of a session that it changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estate {
    /// The newest request that counted in that transaction, with the row that it was judged by.
    pub touch: Option<(Row, Timestamp)>,
    /// What that transaction found it to be, with the row that it was judged by.
    pub found: Option<(Row, Expiry)>,
    /// The version that was committed, with the word of the opening that it goes on.
    pub heritage: Option<(i64, Word)>,
}

/// An entry as a scan tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose it is.
    pub digest: Digest,
    /// Which opening.
    pub version: i64,
    /// Its activity.
    pub activity: Timestamp,
    /// Its mark, if it has one.
    pub mark: Option<Expiry>,
}

/// What became of an attempt to mark a session that the purge found on its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It is marked: no check says true of it any more.
    Yes(Expiry),
    /// It is valid after all.
    No,
    /// The row is not the newest, or is being replaced: look again.
    Over,
    /// There is no room for the mark.
    Full,
}

/// The registry.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'m, L> {
    table: Table<'m>,
    locks: L,
}

impl<'m, L: Locks> Registry<'m, L> {
    /// Over memory that was formatted, with as many locks as it has partitions.
    pub fn new(memory: Memory<'m>, locks: L) -> Self {
        Self {
            table: Table::new(memory),
            locks,
        }
    }

    /// Makes memory of any contents an empty registry. Nobody else may use it meanwhile.
    pub fn format(&self) {
        self.table.format();
    }

    /// Where looking for a session begins, so that the processor can be told to fetch it ahead. No lock, no promise.
    pub fn bucket(&self, key: &Key) -> &'m AtomicU32 {
        self.table.bucket(self.table.place(key))
    }

    /// The slot where a session most probably is, likewise.
    pub fn probable_slot(&self, key: &Key) -> Option<&'m Slot> {
        self.table.probable_slot(self.table.place(key))
    }

    /// Answers a request from the entry, touching or marking it. Shared lock.
    pub fn check(&self, key: &Key, params: &Params, request: Request, now: Timestamp) -> Checked {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let Some(entry) = self.table.find(place, key) else {
                return Checked::Miss(self.ticket(place.partition));
            };
            if entry.is_in_flux() {
                return Checked::InFlux;
            }
            if entry.is_unverified() {
                return Checked::Miss(self.ticket(place.partition));
            }
            answer(&entry, params, request, now)
        })
    }

    /// Puts a row that was read after the ticket was taken into the registry. Exclusive lock.
    pub fn load(&self, key: &Key, ticket: Ticket, row: &Row) -> Loaded {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            if !self.stands(place.partition, ticket) {
                return Loaded::Stale;
            }
            let entry = match self.table.find(place, key) {
                // What was made for a flux or a mark may lie in the room that is kept for these.
                Some(entry) if entry.is_evictable() && self.table.is_reserve_in_use(place.partition) => {
                    if entry.version() == row.version && entry.word().activity() > row.session.last_activity {
                        return Loaded::Stale;
                    }
                    self.table.remove(place, entry);
                    None
                }
                entry => entry,
            };
            match entry {
                Some(entry) if entry.is_in_flux() => Loaded::InFlux,
                Some(entry) => {
                    entry.verify(row);
                    Loaded::Ready
                }
                None if self.table.absent_flux(place.partition) > 0 => Loaded::InFlux,
                None => match self.table.insert(place, key, Room::ForLoads) {
                    Some(entry) => {
                        entry.fill(row, Word::of(row.session.last_activity));
                        Loaded::Ready
                    }
                    None => Loaded::Full,
                },
            }
        })
    }

    /// Learns that there was no row, after the ticket was taken. Exclusive lock where there is an entry.
    pub fn missing(&self, key: &Key, ticket: Ticket) -> Missing {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            if !self.stands(place.partition, ticket) {
                return Missing::Stale;
            }
            match self.table.find(place, key) {
                Some(entry) if entry.is_closed() => Missing::Closed,
                None => Missing::Unknown,
                Some(entry) if entry.is_in_flux() => Missing::Unknown,
                Some(entry) => {
                    self.table.remove(place, entry);
                    Missing::Unknown
                }
            }
        })
    }

    /// This opening is over, by a commit that is about to return: what it came to. No touch or mark gets into it any more.
    /// Exclusive lock.
    pub fn seal(&self, key: &Key, version: i64) -> Option<Word> {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key)?;
            if entry.is_placeholder() {
                // Nothing is known of this opening, and a row that was read before is not to make it known any more.
                entry.hold_place_of(version);
                entry.set_closed();
                return None;
            }
            if entry.version() != version {
                return None;
            }
            entry.set_closed();
            Some(entry.word())
        })
    }

    /// Forgets a database's sessions of tables that are no more. Exclusive locks, one after the other.
    pub fn forget_all_but(&self, database: u32, table: u32) {
        for partition in 0..self.table.partitions() {
            self.locks.exclusive(partition, || {
                self.table.remove_where(partition, |entry| {
                    entry.belongs_to(database, None) && !entry.belongs_to(database, Some(table)) && !entry.is_in_flux()
                });
            });
        }
    }

    /// The activity and the mark that the registry holds for this opening of a session, whatever its state. Shared lock.
    pub fn look(&self, key: &Key, version: i64) -> Option<(Timestamp, Option<Expiry>)> {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let entry = self.table.find(place, key).filter(|entry| entry.version() == version)?;
            Some((entry.word().activity(), entry.word().mark()))
        })
    }

    /// Moves activity forward where there is an entry of this opening, in flux or not: for a check that was answered from
    /// the row. Shared lock.
    pub fn touch(&self, key: &Key, version: i64, now: Timestamp) -> Touched {
        let place = self.table.place(key);
        self.locks
            .shared(place.partition, || match self.table.find(place, key) {
                Some(entry) if entry.version() > version || entry.is_sealed(version) => Touched::Over,
                Some(entry) if entry.version() == version => {
                    // A mark that came first is the greater: the next look finds it.
                    match entry.touch(now).mark() {
                        None => Touched::Yes,
                        Some(_) => Touched::Over,
                    }
                }
                _ => Touched::NoEntry,
            })
    }

    /// Marks this opening, which the caller's transaction found expired, where it has an entry: what the transaction has
    /// changed otherwise does not bear on it. Whether it is marked. Exclusive lock.
    pub fn mark_known(&self, key: &Key, version: i64, expiry: Expiry) -> bool {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let Some(entry) = self.table.find(place, key).filter(|entry| entry.version() == version) else {
                return false;
            };
            entry.mark(expiry);
            true
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
                None => match self.table.insert(place, key, Room::AtAnyCost) {
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

    /// Before a transaction that changed the session commits. Exclusive lock.
    pub fn begin_flux(&self, key: &Key) -> Flux {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = self.table.find(place, key).or_else(|| {
                let placeholder = self.table.insert(place, key, Room::All)?;
                placeholder.hold_place();
                Some(placeholder)
            });
            match entry {
                Some(entry) => {
                    entry.add_flux();
                    Flux::Entry(entry.version())
                }
                None => {
                    self.table.add_absent_flux(place.partition);
                    Flux::Absent
                }
            }
        })
    }

    /// After it has committed or aborted; `flux` is `None` where it never got to [`Registry::begin_flux`]. Exclusive lock.
    pub fn end_flux(&self, key: &Key, flux: Option<Flux>, outcome: Outcome, estate: Estate) {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            self.table.bump_generation(place.partition);
            if flux == Some(Flux::Absent) {
                self.table.remove_absent_flux(place.partition);
            }
            let Some(entry) = self.table.find(place, key) else {
                return;
            };
            if let Some(Flux::Entry(_)) = flux {
                entry.remove_flux();
            }
            entry.set_unverified();
            // Unless another transaction has been quicker to open it again.
            if outcome == Outcome::Closed && flux == Some(Flux::Entry(entry.version())) {
                entry.set_closed();
            }
            if let Some((version, word)) = estate.heritage
                && entry.version() < version
            {
                entry.inherit(version, word);
            }
            // The transaction's own row, if that is what was committed: whether it is, the next load tells.
            let make_of = |row: &Row, may: bool| {
                if may && entry.version() < row.version {
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                }
                entry.version() == row.version
            };
            let is_committed = outcome == Outcome::Committed;
            if let Some((row, now)) = estate.touch
                && make_of(&row, is_committed)
            {
                entry.touch(now);
            }
            // What is found in a transaction that is rolled back was found on a row that others see.
            if let Some((row, expiry)) = estate.found
                && make_of(&row, is_committed || !entry.is_in_flux() || entry.is_placeholder())
            {
                entry.mark(expiry);
            }
        });
    }

    /// After a change that may be of any session of a table: all its entries become unverified. Exclusive locks, one
    /// after the other.
    pub fn unverify_all(&self, database: u32, table: u32) {
        for partition in 0..self.table.partitions() {
            self.locks.exclusive(partition, || {
                self.table.bump_generation(partition);
                for entry in self.table.entries(partition) {
                    if entry.belongs_to(database, Some(table)) {
                        entry.set_unverified();
                    }
                }
            });
        }
    }

    /// Marks a session that the purge, or a check that the row answered, found expired, so that no check lets it in from
    /// here on: also where it is in flux, for as long as its version stays. The newer of row and entry counts. `insist`
    /// where looking again has led to nothing. Exclusive lock.
    pub fn mark_expired(&self, key: &Key, row: &Row, params: &Params, now: Timestamp, insist: bool) -> Marked {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            let entry = match self.table.find(place, key) {
                // Versions of one session only grow: a greater one than the row's means that the row is not the newest.
                Some(entry) if entry.version() > row.version => return Marked::Over,
                Some(entry) if entry.is_sealed(row.version) => return Marked::Over,
                Some(entry) if entry.version() == row.version => entry,
                // The transaction that wrote the row is about to say what of the older opening goes on with it.
                Some(entry) if entry.is_in_flux() && !entry.is_placeholder() && !insist => return Marked::Over,
                Some(entry) => {
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                    entry
                }
                None => {
                    let Some(entry) = self.table.insert(place, key, Room::All) else {
                        return Marked::Full;
                    };
                    entry.fill(row, Word::of(row.session.last_activity));
                    entry.set_unverified();
                    entry
                }
            };
            if let Some(mark) = entry.word().mark() {
                return Marked::Yes(mark);
            }
            let newest = Session {
                last_activity: entry.word().activity().max(row.session.last_activity),
                ..row.session
            };
            match judge(&newest, params, Request::Look, now) {
                Judgement::Expired(expiry) => {
                    entry.mark(expiry);
                    Marked::Yes(expiry)
                }
                Judgement::Valid { .. } => Marked::No,
            }
        })
    }

    /// Collects entries of a database's table, from one partition, that `wanted` says yes to, into the room that `found`
    /// has; whether there may be more. Shared lock.
    pub fn collect(&self, partition: usize, database: u32, table: u32, wanted: Wanted, found: &mut Vec<Seen>) -> bool {
        self.locks.shared(partition, || {
            for entry in self.table.entries(partition) {
                if entry.belongs_to(database, Some(table)) && entry.is_wanted(wanted) {
                    if found.len() == found.capacity() {
                        return true;
                    }
                    found.push(entry.seen());
                }
            }
            false
        })
    }

    /// The row of this opening now has at least this activity: committed. Whether there is newer activity by now, of which
    /// the touch that made it did not know that it was the first to. Shared lock.
    #[must_use = "activity that nobody else will tell of"]
    pub fn flushed(&self, key: &Key, version: i64, activity: Timestamp) -> bool {
        let place = self.table.place(key);
        self.locks.shared(place.partition, || {
            let Some(entry) = self.table.find(place, key).filter(|entry| entry.version() == version) else {
                return false;
            };
            entry.flushed(activity);
            entry.is_wanted(Wanted::Dirty)
        })
    }

    /// The row of this opening is gone, or is another opening's: committed. Exclusive lock.
    pub fn ended(&self, key: &Key, version: i64) {
        let place = self.table.place(key);
        self.locks.exclusive(place.partition, || {
            self.table.bump_generation(place.partition);
            if let Some(entry) = self.table.find(place, key).filter(|entry| entry.version() == version) {
                if entry.is_in_flux() {
                    entry.set_unverified();
                } else {
                    self.table.remove(place, entry);
                }
            }
        });
    }

    /// Forgets a database that is no more, or one table of it. Exclusive locks, one after the other.
    pub fn forget(&self, database: u32, table: Option<u32>) {
        for partition in 0..self.table.partitions() {
            self.locks.exclusive(partition, || {
                self.table.bump_generation(partition);
                self.table.remove_where(partition, |entry| {
                    entry.belongs_to(database, table) && !entry.is_in_flux()
                });
            });
        }
    }

    /// What no row has: dirty or marked. Nobody else may use the registry meanwhile.
    pub fn unsaved(&self) -> impl Iterator<Item = snapshot::Record> + use<'m, L> {
        let table = self.table;
        (0..table.partitions())
            .flat_map(move |partition| table.entries(partition))
            .filter(|entry| entry.is_wanted(Wanted::Dirty) || entry.is_wanted(Wanted::Marked))
            .map(|entry| entry.record())
    }

    /// Takes in what an earlier registry had unsaved: an unverified entry, which counts only where the row is of its
    /// version. Whether there was room. Exclusive lock.
    pub fn restore(&self, record: &snapshot::Record) -> bool {
        let key = record.key();
        let place = self.table.place(&key);
        self.locks.exclusive(place.partition, || {
            if self.table.find(place, &key).is_some() {
                return false;
            }
            let Some(entry) = self.table.insert(place, &key, record.room()) else {
                return false;
            };
            entry.restore(record);
            true
        })
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.table.partitions()
    }

    /// How many slots each partition has.
    pub fn slots_per_partition(&self) -> usize {
        self.table.slots_per_partition()
    }

    /// How many entries are in use, and how many there is room for. No lock: a figure for people.
    pub fn fill(&self) -> (usize, usize) {
        self.table.fill()
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

/// Which entries a scan is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those with activity that the row does not know, and no mark.
    Dirty,
    /// Those that are marked.
    Marked,
    /// Every one.
    Any,
}

/// Judges a verified entry, and touches or marks it.
fn answer(entry: &Entry, params: &Params, request: Request, now: Timestamp) -> Checked {
    loop {
        let word = entry.word();
        let session = entry.session(word);
        let unchanged = |judgement| Checked::Answer {
            judgement,
            session,
            newly_marked: false,
            newly_dirty: false,
        };
        if let Some(expiry) = word.mark() {
            return unchanged(Judgement::Expired(expiry));
        }
        let judgement = judge(&session, params, request, now);
        match judgement {
            Judgement::Expired(_) if request == Request::Look => return unchanged(judgement),
            Judgement::Expired(expiry) => {
                if entry.mark_if(word, expiry) {
                    return Checked::Answer {
                        judgement,
                        session,
                        newly_marked: true,
                        newly_dirty: false,
                    };
                }
                // A touch or another's mark came first: judge what is there now.
            }
            Judgement::Valid { touch: false, .. } => return unchanged(judgement),
            Judgement::Valid { touch: true, .. } => {
                let before = entry.touch(now);
                if before.mark().is_some() {
                    continue;
                }
                return Checked::Answer {
                    judgement,
                    session: Session {
                        last_activity: before.activity().max(now),
                        ..session
                    },
                    newly_marked: false,
                    newly_dirty: entry.was_clean(before),
                };
            }
        }
    }
}

fn delay_of(micros: i64) -> Option<TimeDelta> {
    (micros != 0).then(|| TimeDelta::microseconds(micros))
}
