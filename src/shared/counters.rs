//! Counters of checks. A process adds to one of 256 stripes, chosen by its id, so that two processes rarely write the same
//! cache line.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pg::background::my_pid;

/// How many stripes there are.
pub const STRIPES: usize = 256;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// One stripe of counters, on cache lines of its own.
        #[repr(C, align(128))]
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: Counter,)+
        }

        /// The sums over all stripes.
        pub struct Sums {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Sums {
            /// As the stripes are now.
            pub fn of(stripes: &[Counters]) -> Self {
                Self { $($name: stripes.iter().map(|stripe| stripe.$name.get()).sum(),)+ }
            }
        }
    };
}

counters! {
    /// Checks that no entry of the registry answered at the first try.
    misses,
    /// Rows loaded into the registry.
    loads,
    /// Checks that moved activity forward.
    touches,
    /// Checks on ignored URLs.
    ignored,
    /// Checks that said idle_expired.
    idle_expired,
    /// Checks that said absolute_expired.
    absolute_expired,
    /// Checks that said closed.
    closed,
    /// Checks that said unknown.
    unknown,
    /// Checks that the row answered, because the session was being invalidated.
    invalidating,
    /// Checks that the row answered, because the registry was full.
    full,
    /// Touches that were lost: the registry was full, the session was being invalidated and had no entry, another database
    /// displaced the entry, the database has no place, or the check ran in a parallel worker.
    lost_touches,
}

impl Sums {
    /// Checks: each has one answer.
    pub fn checks(&self) -> u64 {
        self.touches + self.ignored + self.idle_expired + self.absolute_expired + self.closed + self.unknown
    }

    /// Checks that an entry of the registry answered at the first try.
    pub fn hits(&self) -> u64 {
        // A miss is counted before its answer.
        self.checks().saturating_sub(self.misses)
    }
}

/// A counter that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The stripe of this process.
pub fn of_this_process(stripes: &'static [Counters]) -> &'static Counters {
    &stripes[my_pid() as usize % stripes.len()]
}
