//! What was committed to one thing (a session, a parameter), in the order of the commits.
//!
//! Whoever writes to the same row holds its lock until the end of the transaction, so commits of one thing follow each
//! other: a later one is sent after the earlier has taken effect. An observer sees a commit from the moment it is sent, at
//! the earliest, and from the moment its answer is there, at the latest.

use super::time::{Micros, Span};

/// Names an entry for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(u64);

#[derive(Debug, Clone)]
struct Entry<T> {
    id: EntryId,
    value: T,
    sent: Micros,
    /// When the answer was there; `None` while the commit is under way.
    answered: Option<Micros>,
    /// False where the connection was lost before the answer: it may have been committed, or not.
    certain: bool,
}

impl<T> Entry<T> {
    fn holds_by(&self, time: Micros) -> bool {
        self.certain && self.answered.is_some_and(|answered| answered <= time)
    }
}

/// The values that were committed.
#[derive(Debug, Clone)]
pub struct History<T> {
    entries: Vec<Entry<T>>,
    next: u64,
}

impl<T: Copy> History<T> {
    /// Begins with a value that has always been there.
    pub fn new(value: T) -> Self {
        let mut history = Self {
            entries: Vec::new(),
            next: 0,
        };
        let id = history.commit(value, Micros::MIN);
        history.answered(id, Micros::MIN);
        history
    }

    /// A commit is sent.
    pub fn commit(&mut self, value: T, sent: Micros) -> EntryId {
        let id = EntryId(self.next);
        self.next += 1;
        self.entries.push(Entry {
            id,
            value,
            sent,
            answered: None,
            certain: true,
        });
        id
    }

    /// Its answer is there.
    pub fn answered(&mut self, id: EntryId, at: Micros) {
        if let Some(entry) = self.entry(id) {
            entry.answered = Some(at);
        }
    }

    /// It was refused.
    pub fn refused(&mut self, id: EntryId) {
        self.entries.retain(|entry| entry.id != id);
    }

    /// Nobody knows whether it took place.
    pub fn lost(&mut self, id: EntryId, at: Micros) {
        if let Some(entry) = self.entry(id) {
            entry.answered = Some(at);
            entry.certain = false;
        }
    }

    /// What somebody can have seen who looked once within this time.
    pub fn seen(&self, span: Span) -> impl Iterator<Item = (EntryId, T)> {
        let first = self.entries.iter().rposition(|entry| entry.holds_by(span.from));
        let seen = self.entries[first.unwrap_or(0)..].iter();
        seen.filter(move |entry| entry.sent <= span.to)
            .map(|entry| (entry.id, entry.value))
    }

    /// What somebody finds who has just got the lock that every writer holds to its end: commits that were sent have
    /// taken effect.
    pub fn locked(&self) -> impl Iterator<Item = (EntryId, T)> {
        let first = self.entries.iter().rposition(|entry| entry.certain);
        let last = self.entries[first.unwrap_or(0)..].iter();
        last.map(|entry| (entry.id, entry.value))
    }

    /// Each value that was in force at some time after `since`, and from when to when it may have been.
    pub fn windows(&self, since: Micros) -> impl Iterator<Item = (T, Span)> {
        let mut to = Micros::MAX;
        let windows = self.entries.iter().rev().map(move |entry| {
            let window = (entry.value, Span::new(entry.sent, to));
            if let (true, Some(answered)) = (entry.certain, entry.answered) {
                to = answered;
            }
            window
        });
        windows.take_while(move |(_, window)| window.to >= since)
    }

    /// Changes a value in place, where the entry is still there.
    pub fn value_mut(&mut self, id: EntryId) -> Option<&mut T> {
        self.entry(id).map(|entry| &mut entry.value)
    }

    /// Forgets all but this value.
    pub fn reset(&mut self, value: T) {
        *self = Self {
            next: self.next,
            ..Self::new(value)
        };
    }

    /// Forgets what came before the last commit that certainly took place.
    pub fn forget_past(&mut self) {
        if let Some(first) = self.entries.iter().rposition(|entry| entry.holds_by(Micros::MAX)) {
            self.entries.drain(..first);
        }
    }

    /// All values that are kept, to be changed in place.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }

    fn entry(&mut self, id: EntryId) -> Option<&mut Entry<T>> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(history: &History<char>, from: Micros, to: Micros) -> String {
        history.seen(Span::new(from, to)).map(|(_, value)| value).collect()
    }

    #[test]
    fn a_commit_under_way_may_be_seen_or_not() {
        let mut history = History::new('a');
        let b = history.commit('b', 10);
        assert_eq!(seen(&history, 1, 9), "a");
        assert_eq!(seen(&history, 1, 10), "ab");
        assert_eq!(seen(&history, 20, 30), "ab");
        history.answered(b, 25);
        assert_eq!(seen(&history, 24, 30), "ab");
        assert_eq!(seen(&history, 25, 30), "b");
    }

    #[test]
    fn a_lost_commit_stays_in_doubt_until_the_next() {
        let mut history = History::new('a');
        let b = history.commit('b', 10);
        history.lost(b, 20);
        assert_eq!(seen(&history, 30, 30), "ab");
        let c = history.commit('c', 40);
        history.answered(c, 50);
        assert_eq!(seen(&history, 60, 60), "c");
    }

    #[test]
    fn a_refused_commit_has_not_been() {
        let mut history = History::new('a');
        let b = history.commit('b', 10);
        history.refused(b);
        assert_eq!(seen(&history, 15, 30), "a");
    }

    #[test]
    fn windows_end_with_the_next_commits_answer() {
        let mut history = History::new('a');
        let b = history.commit('b', 10);
        history.answered(b, 20);
        let windows: Vec<_> = history.windows(15).collect();
        assert_eq!(
            windows,
            [('b', Span::new(10, Micros::MAX)), ('a', Span::new(Micros::MIN, 20))]
        );
        assert_eq!(history.windows(21).count(), 1);
    }
}
