//! The segment: where everything is in it.
//!
//! The parts follow each other, each on a boundary of 128 bytes:
//!
//! | part | bytes | holds |
//! | --- | --- | --- |
//! | control | 128 | [`Control`] |
//! | databases | `max_databases` × 384 | [`Database`] |
//! | counters | 256 × 128 | a stripe of [`Counters`] for each group of process ids |
//! | partitions, slots, buckets, work, tags | see [`session_timeout_core::registry`] | the registry |
//! | page bounds | `max_sessions` | see [`session_timeout_core::page_bounds`] |

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use pgrx::pg_sys;
use session_timeout_core::page_bounds::{self, PageBounds};
use session_timeout_core::registry::{Layout, Locks, Memory, Partition, Registry, Slot};

use super::control::Control;
use super::counters::{self, Counters};
use super::database::Database;
use super::locks::LwLocks;
use crate::guc;

/// The name of the segment and of the lock tranche.
pub const NAME: &CStr = c"inactive_session_timeout";

/// Everything in the segment.
#[derive(Clone, Copy)]
pub struct Shared {
    /// What there is one of.
    pub control: &'static Control,
    /// The places of databases, used and free.
    pub databases: &'static [Database],
    /// The stripes of counters.
    pub counters: &'static [Counters],
    /// The sessions.
    pub registry: Registry<'static, LwLocks>,
    /// Which pages a purge need not read.
    pub page_bounds: PageBounds<'static>,
    locks: LwLocks,
    layout: Layout,
}

impl Shared {
    /// Runs `work` under the exclusive lock of the list of databases.
    pub fn with_databases<R>(&self, work: impl FnOnce(&'static [Database]) -> R) -> R {
        self.locks.exclusive(self.layout.partitions, || work(self.databases))
    }

    /// Runs `work` under the shared lock of the list of databases.
    pub fn look_at_databases<R>(&self, work: impl FnOnce(&'static [Database]) -> R) -> R {
        self.locks.shared(self.layout.partitions, || work(self.databases))
    }

    /// The counters of this process.
    pub fn counters_of_this_process(&self) -> &'static Counters {
        counters::of_this_process(self.counters)
    }
}

/// Where things are in the segment, in bytes from its start.
pub struct Plan {
    pub layout: Layout,
    /// How many databases it has places for.
    places: usize,
    databases: usize,
    counters: usize,
    partitions: usize,
    slots: usize,
    buckets: usize,
    work: usize,
    tags: usize,
    page_bounds: usize,
    /// How many page bounds it has places for.
    page_places: usize,
    /// The size of the whole, in bytes.
    pub bytes: usize,
}

impl Plan {
    /// The plan for the server's settings.
    pub fn in_force() -> Self {
        Self::of(guc::max_sessions(), guc::max_databases())
    }

    fn of(sessions: usize, places: usize) -> Self {
        let layout = Layout::for_sessions(sessions);
        let page_places = PageBounds::places_for(sessions);
        let mut bytes = size_of::<Control>();
        let mut place = |size: usize| {
            // Every part begins on a cache line pair.
            let start = bytes.next_multiple_of(128);
            bytes = start + size;
            start
        };
        Self {
            databases: place(places * size_of::<Database>()),
            counters: place(counters::STRIPES * size_of::<Counters>()),
            partitions: place(layout.partitions * size_of::<Partition>()),
            slots: place(layout.slots() * size_of::<Slot>()),
            buckets: place(layout.slots() * size_of::<AtomicU32>()),
            work: place(layout.work_words() * size_of::<AtomicU64>()),
            tags: place(layout.slots() * size_of::<AtomicU8>()),
            page_bounds: place(page_places * size_of::<page_bounds::Place>()),
            page_places,
            layout,
            places,
            bytes: bytes + 128,
        }
    }

    /// # Safety
    /// `base` is the segment, zeroed when it was new, and `tranche` has a lock for each partition and one more.
    pub unsafe fn lay_out(&self, base: *mut u8, tranche: *mut pg_sys::LWLockPadded) -> Shared {
        // SAFETY: the parts lie within the segment, do not overlap, are aligned, and consist of atomics, for which zeroes
        // are valid. Shared memory is never unmapped while the process lives.
        unsafe {
            let base = base.add(base.align_offset(128));
            let memory = Memory {
                partitions: std::slice::from_raw_parts(base.add(self.partitions).cast(), self.layout.partitions),
                slots: std::slice::from_raw_parts(base.add(self.slots).cast(), self.layout.slots()),
                buckets: std::slice::from_raw_parts(base.add(self.buckets).cast(), self.layout.slots()),
                work: std::slice::from_raw_parts(base.add(self.work).cast(), self.layout.work_words()),
                tags: std::slice::from_raw_parts(base.add(self.tags).cast(), self.layout.slots()),
            };
            let locks = LwLocks {
                tranche,
                control: &*base.cast(),
                databases: std::slice::from_raw_parts(base.add(self.databases).cast(), self.places),
                counters: std::slice::from_raw_parts(base.add(self.counters).cast(), counters::STRIPES),
            };
            let page_bounds = std::slice::from_raw_parts(base.add(self.page_bounds).cast(), self.page_places);
            Shared {
                control: locks.control,
                databases: locks.databases,
                counters: locks.counters,
                registry: Registry::new(memory, locks),
                page_bounds: PageBounds::new(page_bounds),
                locks,
                layout: self.layout,
            }
        }
    }
}

/// Set by the postmaster in its start-up hook, which runs again after a crash; every process inherits it.
static mut SHARED: Option<Shared> = None;

/// Sets what [`get`] returns.
///
/// # Safety
/// In the postmaster or a single-user server, while there are no other processes.
pub unsafe fn set(shared: Shared) {
    // SAFETY: by the caller's promise.
    unsafe { SHARED = Some(shared) };
}

/// The shared memory; `None` if the library was not preloaded.
pub fn get() -> Option<&'static Shared> {
    // SAFETY: written only by the postmaster, before there are other processes.
    unsafe { (&raw const SHARED).as_ref() }.and_then(Option::as_ref)
}

/// Tells the processor that something in shared memory is about to be needed.
pub fn prefetch<T>(wanted: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = ptr::from_ref(wanted).cast::<i8>();
        // The last byte may be on another cache line than the first.
        for offset in (0..size_of::<T>()).step_by(LINE).chain([size_of::<T>() - 1]) {
            // SAFETY: within `wanted`; reads nothing that the program could see.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = wanted;
}
