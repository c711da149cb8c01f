//! Memory contexts.

use pgrx::PgMemoryContexts;

/// A memory context for the work on one row of many, reset after each.
pub struct RowContext(PgMemoryContexts);

impl RowContext {
    /// A new context below the current one.
    pub fn new() -> Self {
        Self(PgMemoryContexts::new("inactive_session_timeout row"))
    }

    /// Does the work on one row. What it allocates is freed afterwards.
    pub fn run<R>(&mut self, work: impl FnOnce() -> R) -> R {
        // SAFETY: nothing that the work allocated in the context is used after the reset: callers return no pointers into it.
        unsafe {
            let result = self.0.switch_to(|_| work());
            self.0.reset();
            result
        }
    }
}
