//! Inserting into a partition, and making room in one that is full.
//!
//! An entry may go at no loss if its row has all that it knows: it is clean or closed, has no expired flag, and is not being
//! invalidated. An insert into a full partition looks at [`SAMPLE`] slots, whatever the partition's size, so it always
//! costs the same:
//!
//! 1. It evicts, of the first [`CANDIDATES`] entries that may go at no loss, the one that was used longest ago.
//! 2. If there is none, it counts the slots of the sample by database. If one database has [clearly more](clearly_more) than
//!    the database that needs room, it displaces one of that database's entries: an expired one first, since its expiry is
//!    recorded elsewhere ([`Lost::Expiry`]), otherwise the one that was used longest ago, whose activity is lost. Never one
//!    that is being invalidated.
//! 3. Otherwise there is no room.
//!
//! So a database that is alone may use all slots. A database that has more than others loses activity to them, never the
//! other way round.
//!
//! # The reserve
//!
//! A load may take all slots of a partition but the [reserve](super::memory), and so may restored activity. An expired flag
//! and an invalidation may take the reserve too: they must find room even if every other entry is dirty. What was made in
//! the reserve does not stay there as an ordinary entry: if the reserve is in use, a load that finds its own entry evictable
//! removes it, and then needs room like any other. So logins do not use up the room that is kept for expired sessions.
//! If even the reserve is full, an expiry goes to the database's [`unrecorded`](super::unrecorded) limits.
//!
//! # The sample
//!
//! Its slots are about 0.618 of the partition apart, beginning at the hand; the step is coprime to the partition's size. So
//! any number of successive slots are spread evenly, even if databases have filled slots one after the other. The hand goes
//! on behind the sample, and passes every slot before it passes one again. So an entry that becomes clean is found after
//! at most slots/[`SAMPLE`] inserts.
//!
//! # The numbers
//!
//! Of 128 slots, a database with a share p has 128p, give or take √(128p(1-p)). "Clearly more" is a difference of more than
//! four standard deviations, given that both have the same share: t - r > 4√(t + r).
//!
//! - One database has 95 %, all dirty, another the rest: the other finds 122 against 6, give or take 2.5, and the
//!   difference must be 46. An insert of the other fails with a probability below 10⁻⁵⁰.
//! - Two have 50 % each: one takes from the other if the difference of 64 and 64, which has a standard deviation of 11,
//!   is above 45. That happens in 3 of 100,000 inserts.
//! - If two databases both need all they can get, and all of their entries stay dirty, the smaller one gets a sixth with
//!   hardly a failure (3 in 100,000), a quarter with one in twenty, a third with every other insert, and more as samples
//!   happen to show the difference. What it flushes in the meantime counts as room anyway.
//! - Many: a database with no slot in the sample takes from any that has [`SOME`] or more. The rule above would ask for 17,
//!   which none has if eight share the partition evenly. This serves up to thirty.

use std::sync::atomic::Ordering::Relaxed;

use super::entry::Entry;
use super::key::Key;
use super::locks::{Displaced, Lost};
use super::table::{Place, Table};

/// How many entries that could go are compared by their activity.
const CANDIDATES: usize = 8;

/// How many slots are looked at to find room.
const SAMPLE: usize = 128;

/// How many slots of a sample are enough to give one up to a database that has none in it.
const SOME: u32 = 4;

/// Whether an insert may take a slot of the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// No: for loads, and for restored activity.
    Keep,
    /// Yes: for an expired flag, and for an invalidation.
    Use,
    /// No, but displace the entry used longest ago whatever its database has, unless it is expired: on a standby, which
    /// flushes nothing, and where only restored entries are expired.
    KeepAndForce,
}

impl<'m> Table<'m> {
    /// A new entry, which the caller fills; `None` if there is no room. Calls `displaced` before it removes an entry whose row
    /// lacks some of what the entry knows.
    pub fn insert(
        &self,
        place: Place,
        key: &Key,
        reserve: Reserve,
        displaced: impl FnOnce(Displaced),
    ) -> Option<Entry<'m>> {
        let is_full = match reserve {
            Reserve::Use => !self.has_free_slot(place.partition),
            Reserve::Keep | Reserve::KeepAndForce => self.has_only_reserve_left(place.partition),
        };
        if is_full {
            self.evict(place.partition, key.database, reserve, displaced)?;
        }
        Some(self.add(place, key))
    }

    /// Frees a slot for a database that needs one.
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
            // A standby has no purge that could use what is recorded of an expiry.
            .filter(|entry| reserve != Reserve::KeepAndForce || entry.word().expiry().is_none())
            .min_by_key(|entry| (entry.word().expiry().is_none(), entry.word().activity()))?;
        displaced(Displaced {
            database: most.database,
            lost: lost_with(&entry),
        });
        // Somebody may have read the row, which is older than what the entry knew.
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
}

/// What is lost if the entry goes.
fn lost_with(entry: &Entry) -> Lost {
    let word = entry.word();
    match word.expiry() {
        Some(expiry) => Lost::Expiry(entry.session(word), expiry),
        None => Lost::Activity,
    }
}

/// Which database has the most slots of a sample.
struct MostFrequent {
    database: u32,
    slots: u32,
    /// How many slots the database has that needs room.
    slots_of_other: u32,
}

/// Which database has the most slots of a sample, and how many `other` has. `None` if the sample is empty.
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

/// Whether a database that has `most` slots of a sample has more than its share, compared with one that has `other`.
fn clearly_more(most: u32, other: u32) -> bool {
    let difference = most.saturating_sub(other);
    difference * difference > 16 * (most + other) || other == 0 && most >= SOME
}
