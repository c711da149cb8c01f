//! The registry's hash table: finding, adding and removing entries, and the counts of each partition.
//!
//! A partition chains the entries of a bucket, and the free slots, by their numbers. Everything here is called under the
//! partition's lock. What writes needs the exclusive lock.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use super::entry::{Entry, EntryFilter, words_of};
use super::key::Key;
use super::memory::{Memory, NONE, Partition, Slot, flags, reserve};
use super::worklist::{self, Worklist};

#[derive(Clone, Copy, Debug)]
pub struct Table<'m> {
    memory: Memory<'m>,
    pub(super) per_partition: usize,
    /// From one slot of an eviction's sample to the next.
    pub(super) step: usize,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub partition: usize,
    /// The number of the bucket among those of all partitions.
    bucket: usize,
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

    /// Takes a free slot for a new entry. There must be one.
    pub fn add(&self, place: Place, key: &Key) -> Entry<'m> {
        let partition = self.partition(place.partition);
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
        self.tags(place.partition)[index as usize].store(worklist::tag(key.database), Relaxed);
        let bucket = &self.memory.buckets[place.bucket];
        entry.slot.next.store(bucket.load(Relaxed), Relaxed);
        bucket.store(index, Relaxed);
        entry
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
        for filter in [EntryFilter::Dirty, EntryFilter::Expired] {
            self.worklist(place.partition, filter).remove(entry.index);
        }
        entry.slot.next.store(partition.free.load(Relaxed), Relaxed);
        partition.free.store(entry.index, Relaxed);
        partition.used.fetch_sub(1, Relaxed);
    }

    pub fn remove_where(&self, partition: usize, condition: impl Fn(&Entry) -> bool) {
        for entry in self.entries(partition).filter(|entry| condition(entry)) {
            self.remove(self.place(&entry.key()), entry);
        }
    }

    /// Removes an entry whose row may be loaded again.
    pub fn give_up(&self, place: Place, entry: Entry<'m>) {
        if entry.is_unverified() || entry.has_been_flushed() {
            // Somebody may have read a row that is older than what the entry knew.
            self.bump_generation(place.partition);
        }
        self.remove(place, entry);
    }

    /// The entries of a partition.
    pub fn entries(&self, partition: usize) -> impl Iterator<Item = Entry<'m>> + use<'m> {
        self.entries_of(partition, 0..self.per_partition)
    }

    /// The entries in some slots of a partition.
    pub fn entries_of(&self, partition: usize, slots: Range<usize>) -> impl Iterator<Item = Entry<'m>> + use<'m> {
        let first = partition * self.per_partition;
        self.memory.slots[first + slots.start..first + slots.end]
            .iter()
            .zip(slots.start as u32..)
            .map(|(slot, index)| Entry { slot, index })
            .filter(|entry| entry.slot.flags.load(Relaxed) & flags::USED != 0)
    }

    /// The worklist of the dirty or of the expired entries of a partition.
    pub fn worklist(&self, partition: usize, filter: EntryFilter) -> Worklist<'m> {
        let words = worklist::words(self.per_partition);
        let (top, n) = match filter {
            EntryFilter::Dirty | EntryFilter::DirtyWithin(_) => (&self.partition(partition).dirty, 2 * partition),
            EntryFilter::Expired => (&self.partition(partition).expired, 2 * partition + 1),
        };
        Worklist::new(top, &self.memory.work[n * words..(n + 1) * words], self.tags(partition))
    }

    fn tags(&self, partition: usize) -> &'m [AtomicU8] {
        &self.memory.tags[partition * self.per_partition..(partition + 1) * self.per_partition]
    }

    /// Puts an entry that has just changed on the worklists that it belongs to.
    pub fn list(&self, partition: usize, entry: &Entry) {
        for filter in [EntryFilter::Dirty, EntryFilter::Expired] {
            if entry.passes(filter) {
                self.worklist(partition, filter).add(entry.index);
            }
        }
    }

    /// Takes an entry off a worklist, unless it belongs there.
    pub fn unlist(&self, partition: usize, entry: &Entry, filter: EntryFilter) {
        let is_listed = || entry.is_used() && entry.passes(filter);
        if !is_listed() {
            self.worklist(partition, filter).remove(entry.index);
            // It may have been touched meanwhile.
            if is_listed() {
                self.worklist(partition, filter).add(entry.index);
            }
        }
    }

    pub fn has_free_slot(&self, partition: usize) -> bool {
        self.partition(partition).free.load(Relaxed) != NONE
    }

    /// Whether a new entry would have to take a slot of the reserve.
    pub fn has_only_reserve_left(&self, partition: usize) -> bool {
        self.partition(partition).used.load(Relaxed) as usize >= self.slots_without_reserve()
    }

    /// Whether entries take slots of the reserve.
    pub fn is_reserve_in_use(&self, partition: usize) -> bool {
        self.partition(partition).used.load(Relaxed) as usize > self.slots_without_reserve()
    }

    fn slots_without_reserve(&self) -> usize {
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

    pub(super) fn partition(&self, partition: usize) -> &'m Partition {
        &self.memory.partitions[partition]
    }

    pub(super) fn entry(&self, partition: usize, index: u32) -> Entry<'m> {
        Entry {
            slot: &self.memory.slots[partition * self.per_partition + index as usize],
            index,
        }
    }
}

fn greatest_common_divisor(one: usize, other: usize) -> usize {
    if other == 0 {
        one
    } else {
        greatest_common_divisor(other, one % other)
    }
}
