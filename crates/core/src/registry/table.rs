//! The registry's hash table: finding, inserting, evicting and removing entries.
//!
//! All of it is called under a partition's lock: what writes, under the exclusive one, but for [`Entry::touch`],
//! [`Entry::set_expired_if`] and [`Entry::flushed`], which are atomic steps.
//!
//! # When a partition is full
//!
//! An insert looks at [`SAMPLE`] slots, however many there are, so that it costs the same at any size:
//!
//! 1. Of the first [`CANDIDATES`] that the row knows too, the one used longest ago goes. Nothing is lost.
//! 2. Where there is none, the slots of the sample are counted by database. If one has [clearly more](clearly_more) than
//!    the database that needs room, one of its entries goes, though its row does not know it: an expired one first, as
//!    what it says is kept in another way ([`Lost::Expiry`](super::Lost)), else the one used longest ago. Never one in flux.
//! 3. Else there is no room.
//!
//! So a database that is alone may use all, and one that takes more than others loses activity to them, never the other way
//! round. Which slots: every [`Table::step`]th from the hand on, about 0.618 of the partition apart and coprime to its size.
//! That way, any number in a row are spread evenly, also where databases have filled slots one after the other; and the
//! hand, which goes on behind the sample, comes by every slot before it comes by one again, so that an entry that has
//! become clean is found after at most slots/[`SAMPLE`] inserts.
//!
//! The numbers. Of 128 slots, a database with a share p has 128p, give or take √(128p(1-p)). "Clearly more" is a
//! difference of more than four standard deviations, where both have the same share: t - r > 4√(t + r).
//!
//! - One database has 95 %, all dirty, another the rest: it finds 122 against 6, give or take 2.5, and the difference is
//!   to be 46: an insert of the other fails with a probability below 10⁻⁵⁰.
//! - Two have 50 % each: one takes from the other if the difference of 64 and 64, which has a standard deviation of 11,
//!   is above 45: 3 in 100,000 inserts.
//! - So of two that both need all that they can get, and whose entries all stay dirty, the smaller one gets a sixth with
//!   hardly a failure (3 in 100,000), a quarter with one in twenty, a third with every other insert, and more as samples
//!   happen to show the difference. What it flushes meanwhile counts as room anyway.
//! - Many: a database of which the sample has nothing takes from any that has [`SOME`] slots or more. The rule above would ask
//!   for 17, which none has where eight share the partition evenly; this serves up to thirty.

use std::ops::Range;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use chrono::TimeDelta;

use super::memory::{Memory, NONE, Partition, Slot, flags, reserve};
use super::snapshot::SavedSession;
use super::word::Word;
use super::{Displaced, EntryFilter, EntryView, Key, Lost, Row};
use crate::digest::Digest;
use crate::time::{Timestamp, to_micros};
use crate::verdict::{Expiry, Session};

/// How many entries that could go are compared to find the one that is least missed.
const CANDIDATES: usize = 8;

/// How many slots are looked at to find room.
const SAMPLE: usize = 128;

/// How many slots of a sample are enough to give one up to a database that has none in it.
const SOME: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub struct Table<'m> {
    memory: Memory<'m>,
    per_partition: usize,
    /// From one slot of a sample to the next.
    step: usize,
}

/// How much of a partition an entry may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// All but what is kept for marks and for sessions in flux.
    Keep,
    /// All.
    Use,
    /// All that loads may take, at the cost of whatever is least missed, but no mark: on a standby, where nothing is ever
    /// written down, and where marks are only those that were restored.
    KeepAndForce,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub partition: usize,
    /// Absolute.
    bucket: usize,
}

/// An entry in use.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'m> {
    slot: &'m Slot,
    /// Relative to its partition.
    pub(super) index: u32,
}

impl<'m> Table<'m> {
    pub fn new(memory: Memory<'m>) -> Self {
        let per_partition = memory.slots.len() / memory.partitions.len();
        debug_assert!(memory.partitions.len().is_power_of_two() && memory.buckets.len() == memory.slots.len());
        let most = (per_partition as f64 * 0.618_034) as usize;
        let is_coprime = |step: &usize| greatest_common_divisor(*step, per_partition) == 1;
        let step = (1..=most).rev().find(is_coprime).unwrap_or(1);
        Self {
            memory,
            per_partition,
            step,
        }
    }

    pub fn format(&self) {
        self.memory.format();
    }

    /// A digest is as good as random: its bits are the hash.
    pub fn place(&self, key: &Key) -> Place {
        let [first, second, ..] = words_of(&key.digest);
        let hash = second ^ (u64::from(key.database) << 32 | u64::from(key.table)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let partition = first as usize & (self.memory.partitions.len() - 1);
        let bucket = ((u128::from(hash) * self.per_partition as u128) >> 64) as usize;
        Place {
            partition,
            bucket: partition * self.per_partition + bucket,
        }
    }

    pub fn bucket(&self, place: Place) -> &'m AtomicU32 {
        &self.memory.buckets[place.bucket]
    }

    /// The first slot of a bucket's chain.
    pub fn probable_slot(&self, place: Place) -> Option<&'m Slot> {
        let index = self.bucket(place).load(Relaxed) as usize;
        self.memory.slots.get(place.partition * self.per_partition + index)
    }

    pub fn find(&self, place: Place, key: &Key) -> Option<Entry<'m>> {
        let mut next = self.memory.buckets[place.bucket].load(Relaxed);
        while next != NONE {
            let entry = self.entry(place.partition, next);
            if entry.is_of(key) {
                return Some(entry);
            }
            next = entry.slot.next.load(Relaxed);
        }
        None
    }

    /// A new entry, to be filled; `None` where there is no room. Calls `displaced` before an entry goes that its row does
    /// not know.
    pub fn insert(
        &self,
        place: Place,
        key: &Key,
        reserve: Reserve,
        displaced: impl FnOnce(Displaced),
    ) -> Option<Entry<'m>> {
        let partition = self.partition(place.partition);
        let is_full = match reserve {
            Reserve::Use => partition.free.load(Relaxed) == NONE,
            Reserve::Keep | Reserve::KeepAndForce => partition.used.load(Relaxed) as usize >= self.room_for_loads(),
        };
        if is_full {
            self.evict(place.partition, key.database, reserve, displaced)?;
        }
        let index = partition.free.load(Relaxed);
        let entry = self.entry(place.partition, index);
        partition.free.store(entry.slot.next.load(Relaxed), Relaxed);
        partition.used.fetch_add(1, Relaxed);
        entry.slot.database.store(key.database, Relaxed);
        entry.slot.table.store(key.table, Relaxed);
        for (part, word) in entry.slot.digest.iter().zip(words_of(&key.digest)) {
            part.store(word, Relaxed);
        }
        entry.slot.flags.store(flags::USED, Relaxed);
        let bucket = &self.memory.buckets[place.bucket];
        entry.slot.next.store(bucket.load(Relaxed), Relaxed);
        bucket.store(index, Relaxed);
        Some(entry)
    }

    pub fn remove(&self, place: Place, entry: Entry<'m>) {
        let mut link: &AtomicU32 = &self.memory.buckets[place.bucket];
        loop {
            match link.load(Relaxed) {
                NONE => return,
                index if index == entry.index => break,
                index => link = &self.entry(place.partition, index).slot.next,
            }
        }
        link.store(entry.slot.next.load(Relaxed), Relaxed);
        let partition = self.partition(place.partition);
        entry.slot.flags.store(0, Relaxed);
        entry.slot.next.store(partition.free.load(Relaxed), Relaxed);
        partition.free.store(entry.index, Relaxed);
        partition.used.fetch_sub(1, Relaxed);
    }

    pub fn remove_where(&self, partition: usize, condition: impl Fn(&Entry) -> bool) {
        for entry in self.entries(partition).filter(|entry| condition(entry)) {
            self.remove(self.place(&entry.key()), entry);
        }
    }

    /// Frees an entry for a database that needs one: see [above](self).
    fn evict(
        &self,
        partition: usize,
        database: u32,
        reserve: Reserve,
        displaced: impl FnOnce(Displaced),
    ) -> Option<()> {
        let hand = &self.partition(partition).hand;
        let start = hand.load(Relaxed) as usize;
        let sample = || self.sample(partition, start);
        let clean = sample()
            .filter(Entry::is_evictable)
            .take(CANDIDATES)
            .min_by_key(|entry| entry.word().activity());
        if let Some(entry) = clean {
            hand.store(self.behind(entry.index as usize, 1), Relaxed);
            self.give_up(self.place(&entry.key()), entry);
            return Some(());
        }
        hand.store(self.behind(start, SAMPLE.min(self.per_partition)), Relaxed);
        let most = most_frequent(sample().filter(Entry::is_used).map(|entry| entry.database()), database)?;
        if reserve != Reserve::KeepAndForce && !clearly_more(most.slots, most.slots_of_other) {
            return None;
        }
        let entry = sample()
            .filter(|entry| entry.database() == most.database && entry.is_displaceable())
            // A standby has no purge that could act on what is kept of an expiry.
            .filter(|entry| reserve != Reserve::KeepAndForce || entry.word().expiry().is_none())
            .min_by_key(|entry| (entry.word().expiry().is_none(), entry.word().activity()))?;
        displaced(Displaced {
            database: most.database,
            lost: entry.lost(),
        });
        // A row that somebody has read knows less than it did.
        self.bump_generation(partition);
        self.remove(self.place(&entry.key()), entry);
        Some(())
    }

    /// Some slots of a partition, evenly spread over it, from this one on.
    fn sample(&self, partition: usize, start: usize) -> impl Iterator<Item = Entry<'m>> + use<'m> {
        let (table, start) = (*self, start % self.per_partition);
        (0..SAMPLE.min(self.per_partition)).map(move |n| table.entry(partition, table.behind(start, n)))
    }

    /// The slot that is this many steps behind another.
    fn behind(&self, slot: usize, steps: usize) -> u32 {
        ((slot % self.per_partition + steps * self.step) % self.per_partition) as u32
    }

    /// Removes an entry whose row may be loaded again.
    pub fn give_up(&self, place: Place, entry: Entry<'m>) {
        if entry.is_unverified() || entry.has_been_flushed() {
            // A row that somebody has read may be older than what it knew.
            self.bump_generation(place.partition);
        }
        self.remove(place, entry);
    }

    /// The entries of a partition that are in use.
    pub fn entries(&self, partition: usize) -> impl Iterator<Item = Entry<'m>> + use<'m> {
        self.entries_of(partition, 0..self.per_partition)
    }

    /// Likewise, in some of its slots.
    pub fn entries_of(&self, partition: usize, slots: Range<usize>) -> impl Iterator<Item = Entry<'m>> + use<'m> {
        let first = partition * self.per_partition;
        self.memory.slots[first + slots.start..first + slots.end]
            .iter()
            .zip(slots.start as u32..)
            .map(|(slot, index)| Entry { slot, index })
            .filter(|entry| entry.slot.flags.load(Relaxed) & flags::USED != 0)
    }

    /// Whether more is in use than loads may take.
    pub fn is_reserve_in_use(&self, partition: usize) -> bool {
        self.partition(partition).used.load(Relaxed) as usize > self.room_for_loads()
    }

    fn room_for_loads(&self) -> usize {
        self.per_partition - reserve(self.per_partition)
    }

    pub fn slots_per_partition(&self) -> usize {
        self.per_partition
    }

    pub fn partitions(&self) -> usize {
        self.memory.partitions.len()
    }

    pub fn fill(&self) -> (usize, usize) {
        let used = self
            .memory
            .partitions
            .iter()
            .map(|partition| partition.used.load(Relaxed) as usize)
            .sum();
        (used, self.memory.slots.len())
    }

    pub fn generation(&self, partition: usize) -> u64 {
        self.partition(partition).generation.load(Relaxed)
    }

    pub fn bump_generation(&self, partition: usize) {
        self.partition(partition).generation.fetch_add(1, Relaxed);
    }

    pub fn absent_invalidations(&self, partition: usize) -> u32 {
        self.partition(partition).absent_invalidations.load(Relaxed)
    }

    pub fn add_absent_invalidation(&self, partition: usize) {
        self.partition(partition).absent_invalidations.fetch_add(1, Relaxed);
    }

    pub fn remove_absent_invalidation(&self, partition: usize) {
        self.partition(partition).absent_invalidations.fetch_sub(1, Relaxed);
    }

    fn partition(&self, partition: usize) -> &'m Partition {
        &self.memory.partitions[partition]
    }

    fn entry(&self, partition: usize, index: u32) -> Entry<'m> {
        Entry {
            slot: &self.memory.slots[partition * self.per_partition + index as usize],
            index,
        }
    }
}

impl Entry<'_> {
    /// Makes it a copy of a row, with this word.
    pub fn fill(&self, row: &Row, word: Word) {
        let micros = |delay: Option<chrono::TimeDelta>| delay.map_or(0, to_micros);
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

    /// Makes it a copy of a row that was read anew: activity and mark are kept where it is the same opening.
    pub fn verify(&self, row: &Row) {
        let of_row = Word::of(row.session.last_activity);
        if self.version() == row.version {
            // What the row is known to have only grows, too: it may have been written since it was read.
            let (flushed, has_been_flushed) = (self.slot.flushed.load(Relaxed), self.flags() & flags::FLUSHED);
            self.fill(row, Word::from_bits(self.word().bits().max(of_row.bits())));
            self.slot.flushed.fetch_max(flushed, Relaxed);
            // Others may have read it before.
            self.slot.flags.fetch_or(has_been_flushed, Relaxed);
        } else {
            self.fill(row, of_row);
        }
    }

    /// Makes it another opening's, which goes on with this word; the row is yet to be read.
    pub fn derive(&self, version: i64, word: Word) {
        self.slot.word.store(word.bits(), Release);
        self.slot.flushed.store(i64::MIN, Relaxed);
        self.slot.version.store(version, Relaxed);
        self.clear(flags::CLOSED | flags::OF_ROW);
        self.set_unverified();
    }

    /// Makes it an entry of no opening yet: to be evicted at will, and filled by the next load.
    pub fn make_placeholder(&self) {
        self.slot.word.store(0, Release);
        self.slot.flushed.store(i64::MAX, Relaxed);
        self.slot.version.store(i64::MIN, Relaxed);
        self.clear(flags::OF_ROW);
        self.set_unverified();
    }

    /// Makes a placeholder one for an opening of which nothing is known.
    pub fn set_placeholder_version(&self, version: i64) {
        self.slot.version.store(version, Relaxed);
    }

    /// Whether it is an entry of no opening yet.
    pub fn is_placeholder(&self) -> bool {
        self.version() == i64::MIN
    }

    /// Makes it what an earlier registry had unsaved; the row is yet to be read.
    pub fn restore(&self, record: &SavedSession) {
        self.slot.word.store(record.word, Release);
        self.slot.flushed.store(i64::MIN, Relaxed);
        self.slot.version.store(record.version, Relaxed);
        for delay in [&self.slot.opened_at, &self.slot.idle_delay, &self.slot.absolute_delay] {
            delay.store(0, Relaxed);
        }
        self.set_unverified();
    }

    /// What it would be restored from.
    pub fn saved(&self) -> SavedSession {
        SavedSession::new(&self.key(), self.version(), self.word().bits())
    }

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

    /// Moves activity forward; what was there before.
    pub fn touch(&self, now: Timestamp) -> Word {
        // SeqCst, here and in `flushed`, `was_clean` and `word`: of a touch and a flush at once, one sees the other.
        Word::from_bits(self.slot.word.fetch_max(Word::of(now).bits(), SeqCst))
    }

    /// Marks it if its word is still the one that was judged.
    pub fn set_expired_if(&self, judged: Word, expiry: Expiry) -> bool {
        let word: &AtomicU64 = &self.slot.word;
        word.compare_exchange(judged.bits(), judged.with_expiry(expiry).bits(), AcqRel, Acquire)
            .is_ok()
    }

    /// Marks it, under the exclusive lock.
    pub fn set_expired(&self, expiry: Expiry) {
        self.slot.word.store(self.word().with_expiry(expiry).bits(), Release);
    }

    pub fn flushed(&self, activity: Timestamp) {
        self.slot.flags.fetch_or(flags::FLUSHED, Relaxed);
        self.slot.flushed.fetch_max(activity.micros(), SeqCst);
        // An entry that was made of the row as it was before.
        if self.word().activity() < activity {
            self.touch(activity);
        }
    }

    /// Whether the row has been written since the entry was made.
    pub fn has_been_flushed(&self) -> bool {
        self.flags() & flags::FLUSHED != 0
    }

    /// Whether the row knew of the activity in `word`.
    pub fn was_clean(&self, word: Word) -> bool {
        word.activity().micros() <= self.slot.flushed.load(SeqCst)
    }

    pub fn version(&self) -> i64 {
        self.slot.version.load(Relaxed)
    }

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

    /// Whether this opening is known to be over.
    pub fn is_retired(&self, version: i64) -> bool {
        self.is_closed() && self.version() == version
    }

    /// Until it becomes another opening's.
    pub fn set_closed(&self) {
        self.slot.flags.fetch_or(flags::CLOSED, Relaxed);
    }

    pub fn database(&self) -> u32 {
        self.slot.database.load(Relaxed)
    }

    pub fn table(&self) -> u32 {
        self.slot.table.load(Relaxed)
    }

    pub fn belongs_to(&self, database: u32, table: Option<u32>) -> bool {
        self.database() == database && table.is_none_or(|table| self.table() == table)
    }

    pub fn passes(&self, filter: EntryFilter) -> bool {
        let word = self.word();
        match filter {
            EntryFilter::Dirty => word.expiry().is_none() && !self.was_clean(word) && !self.is_closed(),
            EntryFilter::Expired => word.expiry().is_some(),
            #[cfg(test)]
            EntryFilter::Any => true,
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

    fn is_used(&self) -> bool {
        self.flags() & flags::USED != 0
    }

    /// Whether it is in use, and no transaction is committing a change of it.
    fn is_idle(&self) -> bool {
        self.is_used() && !self.is_invalidating()
    }

    /// Whether it may go though its row does not know it. An expiry may if it can be told how long the session had been
    /// idle, or how old it was.
    fn is_displaceable(&self) -> bool {
        self.is_idle() && (self.word().expiry().is_none() || self.flags() & flags::OF_ROW != 0)
    }

    /// What it knows.
    fn lost(&self) -> Lost {
        let word = self.word();
        word.expiry()
            .map_or(Lost::Activity, |expiry| Lost::Expiry(self.session(word), expiry))
    }

    pub fn is_evictable(&self) -> bool {
        let word = self.word();
        self.is_idle() && word.expiry().is_none() && (self.was_clean(word) || self.is_closed())
    }

    fn is_of(&self, key: &Key) -> bool {
        let words = words_of(&key.digest);
        self.slot
            .digest
            .iter()
            .zip(words)
            .all(|(part, word)| part.load(Relaxed) == word)
            && self.belongs_to(key.database, Some(key.table))
    }

    fn key(&self) -> Key {
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

/// What a sample says of the databases.
struct MostFrequent {
    /// The one that has most of it.
    database: u32,
    slots: u32,
    /// How many the database has that needs room.
    slots_of_other: u32,
}

/// Which database has most of a sample, against the one that needs room. `None` where the sample is empty.
fn most_frequent(sample: impl Iterator<Item = u32>, other: u32) -> Option<MostFrequent> {
    let mut counts = [(0, 0); SAMPLE];
    let mut databases = 0;
    for database in sample {
        let n = counts[..databases].iter().position(|(known, _)| *known == database);
        let n = n.unwrap_or(databases);
        databases = databases.max(n + 1);
        counts[n] = (database, counts[n].1 + 1);
    }
    let counts = &counts[..databases];
    let (database, slots) = *counts.iter().max_by_key(|(_, slots)| *slots)?;
    let slots_of_other = counts
        .iter()
        .find(|(database, _)| *database == other)
        .map_or(0, |(_, slots)| *slots);
    Some(MostFrequent {
        database,
        slots,
        slots_of_other,
    })
}

/// Whether a database that has `most` slots of a sample has more than its share, against one that has `other`.
fn clearly_more(most: u32, other: u32) -> bool {
    let difference = most.saturating_sub(other);
    difference * difference > 16 * (most + other) || other == 0 && most >= SOME
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        greatest_common_divisor(other, one % other)
    }
}

/// A digest in the form that slots hold.
fn words_of(digest: &Digest) -> [u64; 4] {
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
