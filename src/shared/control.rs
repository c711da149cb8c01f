//! What there is one of in the server.

use std::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};

use pgrx::pg_sys;

/// What there is one of.
#[repr(C, align(128))]
#[derive(Default)]
pub struct Control {
    /// The launcher's latch, null while there is no launcher.
    launcher: AtomicPtr<pg_sys::Latch>,
    /// How many times in a row the launcher could not start a worker for lack of `max_worker_processes`.
    pub workers_refused: AtomicU32,
    /// Counts places of databases that became free. A backend that found no place looks again when this changes.
    pub places_freed: AtomicU32,
    /// Counts databases that were dropped.
    pub databases_dropped: AtomicU32,
    /// The greatest generation of parameters that any database has had. It grows with each change in any database, so a
    /// place that is given to another database has a generation that nobody has seen.
    generations: AtomicU64,
}

impl Control {
    /// Wakes the launcher, if there is one. Raises nothing.
    pub fn wake_launcher(&self) {
        let latch = self.launcher.load(Acquire);
        if !latch.is_null() {
            // SAFETY: a latch in shared memory, never freed; setting one that nobody waits on does nothing.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }

    /// A new generation of parameters.
    pub fn new_generation(&self) -> u64 {
        self.generations.fetch_add(1, AcqRel) + 1
    }

    /// The launcher starts, and is woken by this latch from here on; null when it ends.
    pub fn set_launcher(&self, latch: *mut pg_sys::Latch) {
        self.launcher.store(latch, Release);
    }
}
