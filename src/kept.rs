//! A value that is kept until PostgreSQL tells of a change.

use std::cell::{Cell, RefCell};

/// What was made last, with the number of changes there had been when its making began: a change that arrives meanwhile
/// is not overlooked, and a making that fails leaves nothing.
pub struct Kept<T> {
    changes: Cell<u64>,
    made: RefCell<Option<(u64, T)>>,
}

impl<T: Clone> Kept<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            changes: Cell::new(0),
            made: RefCell::new(None),
        }
    }

    /// What was kept may no longer hold. Allocates nothing, raises nothing.
    pub fn changed(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
    }

    /// What was kept, if it holds.
    pub fn get(&self) -> Option<T> {
        let made = self.made.borrow();
        made.as_ref()
            .filter(|(at, _)| *at == self.changes.get())
            .map(|(_, value)| value.clone())
    }

    /// Makes it anew, and keeps it.
    pub fn make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let at = self.changes.get();
        let value = make()?;
        self.made.replace(Some((at, value.clone())));
        Ok(value)
    }
}
