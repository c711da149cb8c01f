//! The registry's memory: how much it is and how it is shared out.
//!
//! Partitions of slots, each with buckets of its own. Sessions fall to partitions by chance, so that each has some slots
//! to spare, and none is full long before the others.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

/// The end of a chain.
pub(super) const NONE: u32 = u32::MAX;

/// One session. All of it is written under the partition's exclusive lock, but for `word` and `flushed`, which only
/// move forward. Zeroed memory is not a slot: see [`Memory::format`].
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
    /// See `flags`.
    pub(super) flags: AtomicU32,
}

/// What `Slot::flags` says: how many transactions that are committing have changed the session, and some bits.
pub(super) mod flags {
    /// The entry holds a session.
    pub const USED: u32 = 1 << 31;
    /// The row may have changed since it was read.
    pub const UNVERIFIED: u32 = 1 << 30;
    /// The last change was a close.
    pub const CLOSED: u32 = 1 << 29;
    /// The row was written since it was read.
    pub const FLUSHED: u32 = 1 << 28;
    /// Clocks and limits are those of a row of the entry's version.
    pub const OF_ROW: u32 = 1 << 27;
    /// Transactions that are committing a change of it.
    pub const INVALIDATIONS: u32 = (1 << 16) - 1;
}

/// The part of a partition that is not slots. On cache lines of its own.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub struct Partition {
    /// Counts what could make a row that was read before it stale.
    pub(super) generation: AtomicU64,
    /// Transactions that are committing changes of sessions that had no entry.
    pub(super) absent_invalidations: AtomicU32,
    /// The first free slot, relative to the partition.
    pub(super) free: AtomicU32,
    /// Where eviction goes on.
    pub(super) hand: AtomicU32,
    /// Slots in use.
    pub(super) used: AtomicU32,
}

/// How the memory for a number of sessions is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Partitions, a power of two; as many locks are needed.
    pub partitions: usize,
    /// Slots, and buckets, of each.
    pub slots_per_partition: usize,
}

impl Layout {
    /// The most partitions.
    pub const MAX_PARTITIONS: usize = 128;

    /// For at least this many sessions.
    pub fn for_sessions(sessions: usize) -> Self {
        let sessions = sessions.clamp(1, 1 << 30);
        let filter = (sessions / 512).clamp(1, Self::MAX_PARTITIONS);
        let partitions = 1 << filter.ilog2();
        let even = sessions.div_ceil(partitions);
        // Three standard deviations of a partition's share.
        let spare = if partitions == 1 {
            0
        } else {
            3 * (even as f64).sqrt().ceil() as usize
        };
        // A sixteenth more, so that a seventeenth of the whole is the reserve.
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

    /// Bytes of all that is needed.
    pub fn bytes(&self) -> usize {
        self.partitions * size_of::<Partition>() + self.slots() * (size_of::<Slot>() + size_of::<AtomicU32>())
    }
}

/// How many of a partition's slots are kept for marks and for sessions in flux, so that these find room where all the
/// rest is dirty.
pub(super) fn reserve(slots_per_partition: usize) -> usize {
    slots_per_partition / 17
}

/// The memory itself, handed in by whoever has it.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'m> {
    /// As many as the layout says.
    pub partitions: &'m [Partition],
    /// As many as the layout says, the first partition's first.
    pub slots: &'m [Slot],
    /// As many as slots: the head of each chain, relative to the partition.
    pub buckets: &'m [AtomicU32],
}

impl Memory<'_> {
    /// Makes memory of any contents an empty registry. Nobody else may use it meanwhile.
    pub fn format(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let per_partition = (self.slots.len() / self.partitions.len()) as u32;
        for bucket in self.buckets {
            bucket.store(NONE, Relaxed);
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
