//! What a process keeps for itself.
//!
//! A process of PostgreSQL has one thread. A `thread_local!` in a library that is loaded at run time is found by a call
//! each time; this is a plain static.

use std::cell::{Cell, RefCell};

/// A value of this process.
pub struct PerProcess<T>(T);

// SAFETY: a process of PostgreSQL has one thread, which alone runs what is in this library: every call into it comes from
// PostgreSQL, and it starts no thread.
unsafe impl<T> Sync for PerProcess<T> {}

impl<T> PerProcess<T> {
    /// With this value to begin with.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Works on it.
    pub fn with<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        work(&self.0)
    }
}

impl<T: Copy> PerProcess<Cell<T>> {
    /// A copy of it.
    pub fn get(&self) -> T {
        self.0.get()
    }

    /// Replaces it.
    pub fn set(&self, value: T) {
        self.0.set(value);
    }
}

impl<T> PerProcess<RefCell<T>> {
    /// Looks at it.
    pub fn with_borrow<R>(&self, work: impl FnOnce(&T) -> R) -> R {
        work(&self.0.borrow())
    }

    /// Changes it.
    pub fn with_borrow_mut<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}
