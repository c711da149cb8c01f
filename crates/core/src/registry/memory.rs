//! The registry's memory: what it consists of, and how much of it a number of sessions needs.
//!
//! | part | size | holds |
//! | --- | --- | --- |
//! | [`Partition`], P of them | 128 | generation, invalidations of sessions without an entry, head of the free list, the eviction's hand, slots in use, the top of both [worklists](super::worklist) |
//! | [`Slot`], S of them | 96 | the entries |
//! | buckets, S of them | 4 | heads of the chains |
//! | work, 2 × P × ⌈65/4096 of a partition's slots⌉ words | 8 | the worklists' bits |
//! | tags, S of them | 1 | which database an entry may be of |
//!
//! Each partition has its own slots, buckets and lock. The digest of a session id is as good as random, so it serves as
//! the hash: its first 8 bytes choose the partition; the next 8, mixed with the OIDs of database and table, the bucket.
//!
//! P is the largest power of two that leaves at least 512 sessions to a partition, and 128 at most. Sessions fall into
//! partitions by chance, so a partition gets more slots than its even share: three standard deviations (3·√share), and a
//! sixteenth of all that again. The sixteenth is the **reserve**, which is kept for sessions that are expired or are being
//! invalidated.
//!
//! All together takes at most 128 bytes for each of the `max_sessions`.
//!
//! Bytes of a slot, and how each is written:
//!
//! | bytes | field | written |
//! | --- | --- | --- |
//! | 0–7 | [`word`](super::word) | atomic maximum or compare-and-exchange, under the shared lock |
//! | 8–15 | `flushed`: the activity that the row is known to have | atomic maximum, under the shared lock |
//! | 16–39 | `opened_at`, `idle_delay`, `absolute_delay`; a delay of 0 is none | under the exclusive lock |
//! | 40–47 | `version` of the row | under the exclusive lock |
//! | 48–79 | digest | under the exclusive lock |
//! | 80–87 | OIDs of database and table | under the exclusive lock |
//! | 88–91 | the next slot in the chain, or on the free list | under the exclusive lock |
//! | 92–95 | flags, and a count of invalidations | under the exclusive lock; `FLUSHED` under the shared one |
//!
//! Times are microseconds since 2000.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::worklist;

/// The end of a chain.
pub(super) const NONE: u32 = u32::MAX;

/// One session. Zeroed memory is not a valid slot: see [`Memory::format`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct Slot {
    pub(super) word: AtomicU64,
    /// The activity that the row is known to have, microseconds since 2000.
    pub(super) flushed: AtomicI64,
    pub(super) opened_at: AtomicI64,
    /// Microseconds; 0: none.
    pub(super) idle_delay: AtomicI64,
    /// Microseconds; 0: none.
    pub(super) absolute_delay: AtomicI64,
    pub(super) version: AtomicI64,
    pub(super) digest: [AtomicU64; 4],
    pub(super) database: AtomicU32,
    pub(super) table: AtomicU32,
    /// The next slot of the bucket's chain, or of the free list.
    pub(super) next: AtomicU32,
    /// See [`flags`].
    pub(super) flags: AtomicU32,
}

/// The bits of `Slot::flags`: some flags, and a count.
pub(super) mod flags {
    /// The slot holds an entry.
    pub const USED: u32 = 1 << 31;
    /// The row may have changed since it was read.
    pub const UNVERIFIED: u32 = 1 << 30;
    /// The login is over.
    pub const CLOSED: u32 = 1 << 29;
    /// The row was written since it was read.
    pub const FLUSHED: u32 = 1 << 28;
    /// Clocks and limits are those of a row with the entry's version.
    pub const OF_ROW: u32 = 1 << 27;
    /// How many transactions that change the session are committing.
    pub const INVALIDATIONS: u32 = (1 << 16) - 1;
}

/// The head of a partition, on cache lines of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Partition {
    /// Counts whatever can make a row old that was read before it.
    pub(super) generation: AtomicU64,
    /// How many sessions without an entry are being invalidated.
    pub(super) absent_invalidations: AtomicU32,
    /// The first free slot, relative to the partition.
    pub(super) free: AtomicU32,
    /// Where the next eviction begins.
    pub(super) hand: AtomicU32,
    /// Slots in use.
    pub(super) used: AtomicU32,
    /// The top of the worklist of dirty entries.
    pub(super) dirty: AtomicU64,
    /// The top of the worklist of expired entries.
    pub(super) expired: AtomicU64,
}

/// How many partitions and slots there are for a number of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions, a power of two. As many locks are needed.
    pub partitions: usize,
    /// Slots of each partition, and its buckets.
    pub slots_per_partition: usize,
}

impl Layout {
    /// The most partitions.
    pub const MAX_PARTITIONS: usize = 128;

    /// A layout for at least this many sessions.
    pub fn for_sessions(sessions: usize) -> Self {
        let sessions = sessions.clamp(1, 1 << 30);
        let wanted = (sessions / 512).clamp(1, Self::MAX_PARTITIONS);
        let partitions = 1 << wanted.ilog2();
        let even = sessions.div_ceil(partitions);
        // Three standard deviations of a partition's share.
        let spare = if partitions == 1 {
            0
        } else {
            3 * (even as f64).sqrt().ceil() as usize
        };
        // A sixteenth on top, so that the reserve is a seventeenth of the whole.
        let slots_per_partition = even + spare + (even + spare).div_ceil(16);
        Self {
            partitions,
            slots_per_partition,
        }
    }

    /// Slots of all partitions.
    pub fn slots(&self) -> usize {
        self.partitions * self.slots_per_partition
    }

    /// Words of the worklists of all partitions.
    pub fn work_words(&self) -> usize {
        self.partitions * 2 * worklist::words(self.slots_per_partition)
    }

    /// Bytes of everything.
    pub fn bytes(&self) -> usize {
        let of_slot = size_of::<Slot>() + size_of::<AtomicU32>() + size_of::<AtomicU8>();
        self.partitions * size_of::<Partition>() + self.slots() * of_slot + self.work_words() * size_of::<AtomicU64>()
    }
}

/// How many slots of a partition are the reserve.
pub(super) fn reserve(slots_per_partition: usize) -> usize {
    slots_per_partition / 17
}

/// The memory itself, which the caller provides.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'m> {
    /// As many as [`Layout::partitions`].
    pub partitions: &'m [Partition],
    /// As many as [`Layout::slots`], those of the first partition first.
    pub slots: &'m [Slot],
    /// As many as slots: the head of each chain, relative to the partition.
    pub buckets: &'m [AtomicU32],
    /// As many as [`Layout::work_words`]: for each partition the worklist of dirty entries, then that of expired ones.
    pub work: &'m [AtomicU64],
    /// As many as slots.
    pub tags: &'m [AtomicU8],
}

impl Memory<'_> {
    /// Turns memory with any contents into an empty registry. Nobody else may use it at the same time.
    pub fn format(&self) {
        let per_partition = (self.slots.len() / self.partitions.len()) as u32;
        for bucket in self.buckets {
            bucket.store(NONE, Relaxed);
        }
        for word in self.work {
            word.store(0, Relaxed);
        }
        for (n, slot) in self.slots.iter().enumerate() {
            let n = n as u32 % per_partition;
            slot.flags.store(0, Relaxed);
            slot.next
                .store(if n + 1 < per_partition { n + 1 } else { NONE }, Relaxed);
        }
        for partition in self.partitions {
            partition.generation.store(0, Relaxed);
            partition.absent_invalidations.store(0, Relaxed);
            partition.free.store(0, Relaxed);
            partition.hand.store(0, Relaxed);
            partition.used.store(0, Relaxed);
            partition.dirty.store(0, Relaxed);
            partition.expired.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_at_most_128_bytes_all_told() {
        for sessions in (100..200_000).chain([1_000_000, 5_000_000, 100_000_000]) {
            let bytes = Layout::for_sessions(sessions).bytes();
            assert!(
                bytes <= sessions * 128,
                "{sessions}: {} bytes each",
                bytes as f64 / sessions as f64
            );
        }
    }

    #[test]
    fn there_is_room_for_the_sessions_asked_for() {
        for sessions in [1, 7, 255, 256, 511, 512, 100_000] {
            let layout = Layout::for_sessions(sessions);
            let room = layout.slots_per_partition - reserve(layout.slots_per_partition);
            assert!(room * layout.partitions >= sessions, "{sessions}: {layout:?}");
        }
    }
}
