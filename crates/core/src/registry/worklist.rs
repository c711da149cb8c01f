//! Which entries of a partition may be dirty or expired, so that a pass finds them without looking at the others.
//!
//! A worklist has a bit for each slot, and two levels above: a bit for each word of bits, and a bit for each group of those
//! words. A bit that is set means "look at this entry"; a bit too many costs one look. There is one list of dirty entries and
//! one of expired ones.
//!
//! - **Add.** Whoever makes an entry dirty or expired then sets its bit. A check does so only with the first touch since the
//!   entry was flushed, so that a check that finds the entry dirty already writes nothing but the entry's word.
//! - **Remove.** Whoever finds that an entry is neither clears its bit, and then looks at the entry again: if it is dirty or
//!   expired by now, the bit is set again.
//!
//! All steps on bits and words are sequentially consistent. If a check touches the entry after that second look, it comes
//! after the bit was cleared, so the check sees the bit cleared and sets it. If it touches the entry before, the second look
//! sees the touch. The same argument holds between a word of bits and the bit above it.
//!
//! Bits are of all databases. A byte for each slot, derived from the database of its entry, saves a pass from looking at
//! entries of other databases: of 256 of them it looks at one.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

/// How many words a partition's worklist has: of bits, and of the level above.
pub(super) fn words(slots: usize) -> usize {
    let bits = slots.div_ceil(64);
    bits + bits.div_ceil(64)
}

/// The byte that stands for a database.
pub(super) fn tag(database: u32) -> u8 {
    database.to_le_bytes().into_iter().fold(0, |tag, byte| tag ^ byte)
}

/// A list of slots of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worklist<'m> {
    /// A bit for each group of words of `upper`.
    top: &'m AtomicU64,
    /// A bit for each word of `bits`.
    upper: &'m [AtomicU64],
    /// A bit for each slot.
    bits: &'m [AtomicU64],
    /// The tag of each slot.
    tags: &'m [AtomicU8],
}

impl<'m> Worklist<'m> {
    /// Of a partition with as many slots as tags, whose words are `words`.
    pub fn new(top: &'m AtomicU64, words: &'m [AtomicU64], tags: &'m [AtomicU8]) -> Self {
        let (bits, upper) = words.split_at(tags.len().div_ceil(64));
        Self { top, upper, bits, tags }
    }

    /// Adds a slot.
    pub fn add(&self, slot: u32) {
        let (word, bit) = position(slot as usize);
        // If it is set, whoever set it sees to the levels above.
        if set(&self.bits[word], bit) {
            self.raise(word);
        }
    }

    /// Removes a slot. The caller must look at its entry again after this, and add the slot if the entry is still meant.
    pub fn remove(&self, slot: u32) {
        let (word, bit) = position(slot as usize);
        if self.bits[word].load(SeqCst) & bit == 0 || self.bits[word].fetch_and(!bit, SeqCst) != bit {
            return;
        }
        let (above, bit) = position(word);
        if self.upper[above].fetch_and(!bit, SeqCst) == bit {
            let group = self.group(above);
            self.top.fetch_and(!(1 << group), SeqCst);
            let words = &self.upper[group * self.group_size()..];
            if words.iter().take(self.group_size()).any(|word| word.load(SeqCst) != 0) {
                set(self.top, 1 << group);
            }
        }
        if self.bits[word].load(SeqCst) != 0 {
            self.raise(word);
        }
    }

    /// The first slot in the list from `from` on whose tag is this one.
    pub fn next(&self, from: u32, tag: u8) -> Option<u32> {
        let (mut word, bit) = position(from as usize);
        let mut mask = !(bit - 1);
        loop {
            let mut found = self.bits.get(word)?.load(SeqCst) & mask;
            while found != 0 {
                let slot = word * 64 + found.trailing_zeros() as usize;
                if self.tags.get(slot)?.load(SeqCst) == tag {
                    return Some(slot as u32);
                }
                found &= found - 1;
            }
            word = self.next_word(word + 1)?;
            mask = u64::MAX;
        }
    }

    /// The first word of bits from `from` on that has any, as the levels above say.
    fn next_word(&self, from: usize) -> Option<usize> {
        let (mut above, bit) = position(from);
        let mut mask = !(bit - 1);
        loop {
            let found = self.upper.get(above)?.load(SeqCst) & mask;
            if found != 0 {
                return Some(above * 64 + found.trailing_zeros() as usize);
            }
            above = self.next_above(above + 1)?;
            mask = u64::MAX;
        }
    }

    /// The first word of the upper level from `from` on whose group has any bits.
    fn next_above(&self, from: usize) -> Option<usize> {
        if from >= self.upper.len() {
            return None;
        }
        let group = self.group(from);
        let groups = self.top.load(SeqCst) & !((1 << group) - 1);
        if groups & 1 << group != 0 {
            return Some(from);
        }
        (groups != 0).then(|| groups.trailing_zeros() as usize * self.group_size())
    }

    /// Sets the bits above a word.
    fn raise(&self, word: usize) {
        let (above, bit) = position(word);
        set(&self.upper[above], bit);
        set(self.top, 1 << self.group(above));
    }

    /// The group of a word of the upper level: one of 64 at most.
    fn group(&self, above: usize) -> usize {
        above / self.group_size()
    }

    fn group_size(&self) -> usize {
        self.upper.len().div_ceil(64)
    }
}

/// The word and the bit of a number.
fn position(n: usize) -> (usize, u64) {
    (n / 64, 1 << (n % 64))
}

/// Sets a bit. Returns false if it was set.
fn set(word: &AtomicU64, bit: u64) -> bool {
    word.load(SeqCst) & bit == 0 && word.fetch_or(bit, SeqCst) & bit == 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicBool, AtomicU32};
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    struct Owned {
        top: AtomicU64,
        words: Vec<AtomicU64>,
        tags: Vec<AtomicU8>,
    }

    impl Owned {
        fn new(slots: usize) -> Self {
            Self {
                top: AtomicU64::new(0),
                words: (0..words(slots)).map(|_| AtomicU64::new(0)).collect(),
                tags: (0..slots).map(|_| AtomicU8::new(0)).collect(),
            }
        }

        fn list(&self) -> Worklist<'_> {
            Worklist::new(&self.top, &self.words, &self.tags)
        }

        fn all(&self) -> Vec<u32> {
            let mut from = 0;
            std::iter::from_fn(|| {
                let slot = self.list().next(from, 0)?;
                from = slot + 1;
                Some(slot)
            })
            .collect()
        }
    }

    proptest! {
        #[test]
        fn it_has_what_was_added_and_not_removed(
            slots in 1_usize..300_000,
            steps in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..200),
        ) {
            let owned = Owned::new(slots);
            let mut expected = BTreeSet::new();
            for (slot, is_added) in steps {
                let slot = slot.index(slots) as u32;
                if is_added {
                    owned.list().add(slot);
                    expected.insert(slot);
                } else {
                    owned.list().remove(slot);
                    expected.remove(&slot);
                }
            }
            prop_assert_eq!(owned.all(), expected.into_iter().collect::<Vec<_>>());
            let is_empty_above = owned.top.load(SeqCst) == 0;
            prop_assert_eq!(is_empty_above, owned.all().is_empty());
        }
    }

    #[test]
    fn slots_of_other_tags_are_passed_over() {
        let owned = Owned::new(200);
        owned.tags[7].store(tag(5), SeqCst);
        owned.tags[130].store(tag(5), SeqCst);
        for slot in 0..200 {
            owned.list().add(slot);
        }
        assert_eq!(owned.list().next(0, tag(5)), Some(7));
        assert_eq!(owned.list().next(8, tag(5)), Some(130));
        assert_eq!(owned.list().next(131, tag(5)), None);
    }

    /// Two threads make entries dirty while a third cleans what it finds: in the end the list has every dirty entry.
    #[test]
    fn no_addition_is_lost_beside_removals() {
        const SLOTS: usize = 5_000;
        const ROUNDS: u32 = 40;
        let owned = Owned::new(SLOTS);
        let dirty: Vec<AtomicU32> = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let (list, dirty, is_over) = (owned.list(), &dirty, &is_over);
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            for n in 0..SLOTS {
                                let slot = (n * 7 + writer * 13 + round as usize) % SLOTS;
                                if dirty[slot].swap(1, SeqCst) == 0 {
                                    list.add(slot as u32);
                                }
                            }
                        }
                    })
                })
                .collect();
            scope.spawn(move || {
                while !is_over.load(SeqCst) {
                    let mut from = 0;
                    while let Some(slot) = list.next(from, 0) {
                        from = slot + 1;
                        if slot % 3 != 0 {
                            dirty[slot as usize].store(0, SeqCst);
                        }
                        if dirty[slot as usize].load(SeqCst) == 0 {
                            list.remove(slot);
                            if dirty[slot as usize].load(SeqCst) != 0 {
                                list.add(slot);
                            }
                        }
                    }
                }
            });
            for writer in writers {
                writer.join().expect("it does not panic");
            }
            is_over.store(true, SeqCst);
        });
        let listed: BTreeSet<u32> = owned.all().into_iter().collect();
        for (slot, dirty) in (0..).zip(&dirty) {
            assert!(
                dirty.load(SeqCst) == 0 || listed.contains(&slot),
                "{slot} is dirty and not listed"
            );
        }
    }
}
