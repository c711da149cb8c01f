//! An entry in use: a slot, and what its fields mean together.
//!
//! Everything here is called under the partition's lock. What writes needs the exclusive lock, except [`Entry::touch`],
//! [`Entry::set_expired_if`] and [`Entry::flushed`], which are atomic steps under the shared one.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

use chrono::TimeDelta;

use super::key::Key;
use super::memory::{Slot, flags};
use super::row::Row;
use super::word::Word;
use crate::digest::Digest;
use crate::time::{Timestamp, to_micros};
use crate::verdict::{Expiry, Session};

/// What a scan returns of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Which session.
    pub digest: Digest,
    /// Which login of it.
    pub version: i64,
    /// Its activity.
    pub activity: Timestamp,
    /// Its expired flag.
    pub expiry: Option<Expiry>,
}

/// Which entries a scan collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryFilter {
    /// Those with activity that the row does not have, and without the expired flag.
    Dirty,
    /// Those of them whose own idle delay is shorter than this, in microseconds.
    DirtyWithin(i64),
    /// Those with the expired flag.
    Expired,
}

impl EntryFilter {
    /// The filter of the worklist on which such entries are.
    pub(super) fn listed_as(self) -> Self {
        match self {
            Self::Dirty | Self::DirtyWithin(_) => Self::Dirty,
            Self::Expired => Self::Expired,
        }
    }
}

/// An entry in use.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'m> {
    pub(super) slot: &'m Slot,
    /// The slot's number in its partition.
    pub(super) index: u32,
}

impl Entry<'_> {
    /// Copies a row into the entry, with this word.
    pub fn fill(&self, row: &Row, word: Word) {
        let micros = |delay: Option<TimeDelta>| delay.map_or(0, to_micros);
        self.slot.word.store(word.bits(), Release);
        self.slot
            .flushed
            .store(Word::of(row.session.last_activity).activity().micros(), Relaxed);
        self.slot.opened_at.store(row.session.opened_at.micros(), Relaxed);
        self.slot.idle_delay.store(micros(row.session.idle_delay), Relaxed);
        self.slot
            .absolute_delay
            .store(micros(row.session.absolute_delay), Relaxed);
        self.slot.version.store(row.version, Relaxed);
        self.clear(flags::UNVERIFIED | flags::CLOSED | flags::FLUSHED);
        self.slot.flags.fetch_or(flags::OF_ROW, Relaxed);
    }

    /// As [`Entry::fill`], with the row's activity, for a row that others may change or have changed.
    pub fn fill_unverified(&self, row: &Row) {
        self.fill(row, Word::of(row.session.last_activity));
        self.set_unverified();
    }

    /// Copies a row that was read anew. If it is of the same login, activity and expired flag stay.
    pub fn verify(&self, row: &Row) {
        let of_row = Word::of(row.session.last_activity);
        if self.version() == row.version {
            // A flush may have written the row since it was read: what the row is known to have only grows.
            let (flushed, has_been_flushed) = (self.slot.flushed.load(Relaxed), self.flags() & flags::FLUSHED);
            self.fill(row, Word::from_bits(self.word().bits().max(of_row.bits())));
            self.slot.flushed.fetch_max(flushed, Relaxed);
            // Others may have read the row before that flush.
            self.slot.flags.fetch_or(has_been_flushed, Relaxed);
        } else {
            self.fill(row, of_row);
        }
    }

    /// Turns the entry into one of a login that continues another, with the word that the other ended with. Its row has not
    /// been read yet.
    pub fn derive(&self, version: i64, word: Word) {
        self.slot.word.store(word.bits(), Release);
        self.slot.flushed.store(i64::MIN, Relaxed);
        self.slot.version.store(version, Relaxed);
        self.clear(flags::CLOSED | flags::OF_ROW);
        self.set_unverified();
    }

    /// Turns the entry into a placeholder, which knows no login: it may be evicted, and the next load fills it.
    pub fn make_placeholder(&self) {
        self.slot.word.store(0, Release);
        self.slot.flushed.store(i64::MAX, Relaxed);
        self.slot.version.store(i64::MIN, Relaxed);
        self.clear(flags::OF_ROW);
        self.set_unverified();
    }

    /// Assigns a placeholder to a login of which nothing is known.
    pub fn set_placeholder_version(&self, version: i64) {
        self.slot.version.store(version, Relaxed);
    }

    /// Whether the entry knows no login yet.
    pub fn is_placeholder(&self) -> bool {
        self.version() == i64::MIN
    }

    /// Restores what a previous registry knew of a login. Its row has not been read yet.
    pub fn restore(&self, version: i64, word: Word) {
        self.slot.word.store(word.bits(), Release);
        self.slot.flushed.store(i64::MIN, Relaxed);
        self.slot.version.store(version, Relaxed);
        for delay in [&self.slot.opened_at, &self.slot.idle_delay, &self.slot.absolute_delay] {
            delay.store(0, Relaxed);
        }
        self.set_unverified();
    }

    /// The session, with the activity of this word.
    pub fn session(&self, word: Word) -> Session {
        Session {
            opened_at: Timestamp::from_micros(self.slot.opened_at.load(Relaxed)),
            last_activity: word.activity(),
            idle_delay: delay_of(self.slot.idle_delay.load(Relaxed)),
            absolute_delay: delay_of(self.slot.absolute_delay.load(Relaxed)),
        }
    }

    pub fn word(&self) -> Word {
        Word::from_bits(self.slot.word.load(SeqCst))
    }

    /// Moves activity forward, and returns the word before that.
    pub fn touch(&self, now: Timestamp) -> Word {
        // SeqCst here and in `flushed`, `was_clean` and `word`: if a touch and a flush happen at once, one sees the other.
        Word::from_bits(self.slot.word.fetch_max(Word::of(now).bits(), SeqCst))
    }

    /// Sets the expired flag if the word is still the one that was judged.
    pub fn set_expired_if(&self, judged: Word, expiry: Expiry) -> bool {
        let expired = judged.with_expiry(expiry);
        self.slot
            .word
            .compare_exchange(judged.bits(), expired.bits(), AcqRel, Acquire)
            .is_ok()
    }

    /// Sets the expired flag, under the exclusive lock.
    pub fn set_expired(&self, expiry: Expiry) {
        self.slot.word.store(self.word().with_expiry(expiry).bits(), Release);
    }

    /// The row has been written, and has this activity.
    pub fn flushed(&self, activity: Timestamp) {
        self.slot.flags.fetch_or(flags::FLUSHED, Relaxed);
        self.slot.flushed.fetch_max(activity.micros(), SeqCst);
        // The entry may have been made from the row as it was before the flush.
        if self.word().activity() < activity {
            self.touch(activity);
        }
    }

    /// Whether the row has been written since the entry was made.
    pub fn has_been_flushed(&self) -> bool {
        self.flags() & flags::FLUSHED != 0
    }

    /// Whether the row has the activity of `word`.
    pub fn was_clean(&self, word: Word) -> bool {
        word.activity().micros() <= self.slot.flushed.load(SeqCst)
    }

    pub fn version(&self) -> i64 {
        self.slot.version.load(Relaxed)
    }

    /// Whether a transaction that changes the session is committing.
    pub fn is_invalidating(&self) -> bool {
        self.flags() & flags::INVALIDATIONS != 0
    }

    pub fn begin_invalidation(&self) {
        self.slot.flags.fetch_add(1, Relaxed);
    }

    pub fn end_invalidation(&self) {
        self.slot.flags.fetch_sub(1, Relaxed);
    }

    pub fn is_unverified(&self) -> bool {
        self.flags() & flags::UNVERIFIED != 0
    }

    pub fn set_unverified(&self) {
        self.slot.flags.fetch_or(flags::UNVERIFIED, Relaxed);
    }

    pub fn is_closed(&self) -> bool {
        self.flags() & flags::CLOSED != 0
    }

    /// Whether this login is known to be over.
    pub fn is_retired(&self, version: i64) -> bool {
        self.is_closed() && self.version() == version
    }

    /// The entry's login is over. The flag goes when the entry gets another login.
    pub fn set_closed(&self) {
        self.slot.flags.fetch_or(flags::CLOSED, Relaxed);
    }

    pub fn database(&self) -> u32 {
        self.slot.database.load(Relaxed)
    }

    pub fn table(&self) -> u32 {
        self.slot.table.load(Relaxed)
    }

    /// Whether it is of this database, and of this table if one is given.
    pub fn belongs_to(&self, database: u32, table: Option<u32>) -> bool {
        self.database() == database && table.is_none_or(|table| self.table() == table)
    }

    pub fn passes(&self, filter: EntryFilter) -> bool {
        let word = self.word();
        match filter {
            EntryFilter::Dirty => word.expiry().is_none() && !self.was_clean(word) && !self.is_closed(),
            EntryFilter::DirtyWithin(delay) => {
                (1..delay).contains(&self.slot.idle_delay.load(Relaxed)) && self.passes(EntryFilter::Dirty)
            }
            EntryFilter::Expired => word.expiry().is_some(),
        }
    }

    pub fn view(&self) -> EntryView {
        let word = self.word();
        EntryView {
            digest: self.key().digest,
            version: self.version(),
            activity: word.activity(),
            expiry: word.expiry(),
        }
    }

    pub fn is_used(&self) -> bool {
        self.flags() & flags::USED != 0
    }

    /// Whether it may go at no loss: its row has all that it knows.
    pub fn is_evictable(&self) -> bool {
        let word = self.word();
        self.is_idle() && word.expiry().is_none() && (self.was_clean(word) || self.is_closed())
    }

    /// Whether it may go for another database, although its row lacks some of what it knows. An expired entry needs the
    /// clocks of its row for that: they show how long the session had been idle, or how old it was.
    pub fn is_displaceable(&self) -> bool {
        self.is_idle() && (self.word().expiry().is_none() || self.flags() & flags::OF_ROW != 0)
    }

    /// Whether it is in use, and no transaction that changes the session is committing.
    fn is_idle(&self) -> bool {
        self.is_used() && !self.is_invalidating()
    }

    pub fn is_of(&self, key: &Key) -> bool {
        let words = words_of(&key.digest);
        self.slot
            .digest
            .iter()
            .zip(words)
            .all(|(part, word)| part.load(Relaxed) == word)
            && self.belongs_to(key.database, Some(key.table))
    }

    pub fn key(&self) -> Key {
        let mut bytes = [0; Digest::LEN];
        for (chunk, part) in bytes.chunks_exact_mut(8).zip(&self.slot.digest) {
            chunk.copy_from_slice(&part.load(Relaxed).to_ne_bytes());
        }
        Key {
            database: self.slot.database.load(Relaxed),
            table: self.slot.table.load(Relaxed),
            digest: Digest::from(bytes),
        }
    }

    fn flags(&self) -> u32 {
        self.slot.flags.load(Relaxed)
    }

    fn clear(&self, bits: u32) {
        self.slot.flags.fetch_and(!bits, Relaxed);
    }
}

/// A digest in the form in which slots hold it.
pub fn words_of(digest: &Digest) -> [u64; 4] {
    let bytes = digest.as_bytes();
    std::array::from_fn(|n| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[n * 8..n * 8 + 8]);
        u64::from_ne_bytes(word)
    })
}

fn delay_of(micros: i64) -> Option<TimeDelta> {
    (micros != 0).then(|| TimeDelta::microseconds(micros))
}
