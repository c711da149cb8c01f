//! A value that is cached until PostgreSQL reports a change.

use std::cell::{Cell, RefCell};

/// The value that was computed last, with the number of invalidations that had been received when its computation began.
/// An invalidation that arrives during the computation is not lost, and a failed computation caches nothing.
pub struct Cached<T> {
    invalidations: Cell<u64>,
    value: RefCell<Option<(u64, T)>>,
}

impl<T: Clone> Cached<T> {
    /// Nothing is cached yet.
    pub const fn new() -> Self {
        Self {
            invalidations: Cell::new(0),
            value: RefCell::new(None),
        }
    }

    /// The cached value may no longer be right. Allocates nothing, raises nothing.
    pub fn invalidate(&self) {
        self.invalidations.set(self.invalidations.get().wrapping_add(1));
    }

    /// The cached value, unless it was invalidated.
    pub fn get(&self) -> Option<T> {
        let value = self.value.borrow();
        value
            .as_ref()
            .filter(|(at, _)| *at == self.invalidations.get())
            .map(|(_, value)| value.clone())
    }

    /// Computes the value and caches it.
    pub fn compute<E>(&self, compute: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let at = self.invalidations.get();
        let value = compute()?;
        self.value.replace(Some((at, value.clone())));
        Ok(value)
    }
}
