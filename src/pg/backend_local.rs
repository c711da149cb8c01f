//! Static values of one process.
//!
//! A process of PostgreSQL has one thread. A `thread_local!` in a library that is loaded at run time costs a function call
//! at each use; this is a plain static.

use std::cell::{Cell, RefCell};

/// A value of this process.
pub struct BackendLocal<T>(T);

// SAFETY: a process of PostgreSQL has one thread, and only that thread runs code of this library: every call into it comes
// from PostgreSQL, and it starts no thread.
unsafe impl<T> Sync for BackendLocal<T> {}

impl<T> BackendLocal<T> {
    /// Starts with this value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Calls `work` with the value.
    pub fn with<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        work(&self.0)
    }
}

impl<T: Copy> BackendLocal<Cell<T>> {
    /// A copy of the value.
    pub fn get(&self) -> T {
        self.0.get()
    }

    /// Replaces the value.
    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}

impl<T> BackendLocal<RefCell<T>> {
    /// Calls `work` with the value. Panics if it is borrowed mutably.
    pub fn with_borrow<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        work(&self.0.borrow())
    }

    /// Calls `work` with the value, which it may change. Panics if it is borrowed.
    pub fn with_borrow_mut<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}
