//! What is counted. A process adds to one of many stripes, so that counting costs the check no cache line that others
//! write, save for processes whose ids fall together.

use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Checks that no entry of the registry answered at once.
    misses,
    /// Rows that were loaded into the registry.
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
    /// Checks that were answered by the row, as the session was being changed.
    in_flux,
    /// Checks that were answered by the row, as the registry was full.
    full,
    /// Touches that no entry took: the registry was full, the session was being committed and had no entry, the database has no
    /// place, or the check ran in a parallel worker.
    lost_touches,
}

impl Sums {
    /// Checks of any kind: each has one answer.
    pub fn checks(&self) -> u64 {
        self.touches + self.ignored + self.idle_expired + self.absolute_expired + self.closed + self.unknown
    }

    /// Checks that an entry of the registry answered at once.
    pub fn hits(&self) -> u64 {
        // A miss is counted before its answer.
        self.checks().saturating_sub(self.misses)
    }
}

/// A counter that only goes up.
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
