//! The extension's shared memory: the registry's, and what the backends, the launcher and the workers tell each other.
//!
//! It exists where the library was preloaded. One segment, laid out by [`Plan`]: a [`Control`], the databases, the
//! counters, and the registry's partitions, slots and buckets, each zeroed and then formatted by the postmaster, anew
//! after a crash. One named LWLock tranche: a lock for each partition, and one more for the list of databases.
//!
//! Lock order: at most one of these locks is held at a time, and nothing that can raise an error, allocate or wait is
//! called under one.

pub mod counters;
pub mod database;
pub mod snapshot;

use std::cell::Cell;
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use session_timeout_core::registry::{Displaced, Layout, Locks, Lost, Memory, Partition, Registry, Slot};

use crate::process::PerProcess;
use crate::{clock, guc, unguarded};
use counters::Counters;
use database::Database;

/// The name of the segment and of the lock tranche.
const NAME: &CStr = c"inactive_session_timeout";

/// What there is one of.
#[repr(C, align(128))]
#[derive(Default)]
pub struct Control {
    /// The launcher's latch, null while there is no launcher.
    launcher: AtomicPtr<pg_sys::Latch>,
    /// How often the launcher could not start a worker for want of `max_worker_processes`.
    pub workers_refused: AtomicU32,
    /// Counts places of databases that became free: who found none does not look again before that changes.
    pub places_freed: AtomicU32,
    /// Counts databases that were dropped.
    pub databases_dropped: AtomicU32,
    /// The greatest generation of parameters that any database has had. It grows with each change in any of them, so that a
    /// place that becomes another database's has no generation that anybody has seen.
    generations: AtomicU64,
}

impl Control {
    /// Wakes the launcher, if there is one. Raises nothing.
    pub fn wake_launcher(&self) {
        let latch = self.launcher.load(Ordering::Acquire);
        if !latch.is_null() {
            // SAFETY: a latch in shared memory, never freed; setting one that nobody waits on does nothing.
            unsafe { pg_sys::SetLatch(latch) };
        }
    }

    /// A generation of parameters that there has not been.
    pub fn new_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The launcher starts: from here on it is woken by its latch.
    pub fn set_launcher(&self, latch: *mut pg_sys::Latch) {
        self.launcher.store(latch, Ordering::Release);
    }
}

/// Everything in the segment.
#[derive(Clone, Copy)]
pub struct Shared {
    /// What there is one of.
    pub control: &'static Control,
    /// The databases that are known.
    pub databases: &'static [Database],
    /// Counters, by chance of the process id.
    pub counters: &'static [Counters],
    /// The live sessions.
    pub registry: Registry<'static, LwLocks>,
    locks: LwLocks,
    layout: Layout,
}

impl Shared {
    /// Runs `work` under the lock of the list of databases.
    pub fn with_databases<R>(&self, work: impl FnOnce(&'static [Database]) -> R) -> R {
        self.locks.exclusive(self.layout.partitions, || work(self.databases))
    }

    /// Likewise, beside others who only look.
    pub fn looking_at_databases<R>(&self, work: impl FnOnce(&'static [Database]) -> R) -> R {
        self.locks.shared(self.layout.partitions, || work(self.databases))
    }

    /// The counters of this process.
    pub fn count(&self) -> &'static Counters {
        // SAFETY: a plain read.
        let pid = unsafe { pg_sys::MyProcPid } as usize;
        &self.counters[pid % self.counters.len()]
    }
}

/// The partitions' LWLocks, and one more.
#[derive(Clone, Copy)]
pub struct LwLocks(*mut pg_sys::LWLockPadded);

impl LwLocks {
    /// Holds a lock, and says whether that had to wait.
    fn hold(&self, lock: usize, mode: pg_sys::LWLockMode::Type) -> (Held, bool) {
        // SAFETY: the tranche has a lock for every partition and one more.
        unsafe {
            let lock = &raw mut (*self.0.add(lock)).lock;
            let was_free = unguarded::acquire(lock, mode);
            (Held(lock), !was_free)
        }
    }
}

impl Locks for LwLocks {
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let _held = self.hold(partition, pg_sys::LWLockMode::LW_SHARED);
        work()
    }

    fn shared_timed<R>(&self, partition: usize, work: impl FnOnce(bool) -> R) -> R {
        let (_held, has_waited) = self.hold(partition, pg_sys::LWLockMode::LW_SHARED);
        work(has_waited)
    }

    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let result = {
            let _held = self.hold(partition, pg_sys::LWLockMode::LW_EXCLUSIVE);
            work()
        };
        if HAS_DISPLACED.get() {
            HAS_DISPLACED.set(false);
            if let Some(shared) = get() {
                shared.control.wake_launcher();
            }
        }
        result
    }

    /// Raises nothing, allocates nothing, and waits for nothing.
    fn displaced(&self, displaced: Displaced) {
        let Some(shared) = get() else { return };
        let database = database::known(shared, Oid::from(displaced.database));
        match displaced.lost {
            // A standby writes nothing down: there, what was used longest ago always makes room.
            Lost::Activity if unguarded::recovery_in_progress() => return,
            Lost::Activity => shared.count().lost_touches.add_one(),
            Lost::Expiry(session, expiry) => {
                if let Some(database) = database {
                    database.unrecorded.add(&session, expiry, clock::now());
                    database.hurry_purge();
                }
            }
        }
        if database.is_some_and(Database::make_room_soon) {
            HAS_DISPLACED.set(true);
        }
    }
}

/// Under the lock that this process holds, another database has lost an entry: the launcher is to be woken.
static HAS_DISPLACED: PerProcess<Cell<bool>> = PerProcess::new(Cell::new(false));

struct Held(*mut pg_sys::LWLock);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: acquired by hold, released once.
        unsafe { unguarded::release(self.0) };
    }
}

/// Where things are in the segment, in bytes from its start.
struct Plan {
    layout: Layout,
    /// How many databases there is room for.
    room: usize,
    databases: usize,
    counters: usize,
    partitions: usize,
    slots: usize,
    buckets: usize,
    bytes: usize,
}

impl Plan {
    /// As the server's settings say.
    fn in_force() -> Self {
        Self::of(guc::max_sessions(), guc::max_databases())
    }

    fn of(sessions: usize, room: usize) -> Self {
        let layout = Layout::for_sessions(sessions);
        let mut bytes = size_of::<Control>();
        let mut place = |size: usize| {
            // Every part begins on a cache line pair.
            let start = bytes.next_multiple_of(128);
            bytes = start + size;
            start
        };
        Self {
            databases: place(room * size_of::<Database>()),
            counters: place(counters::STRIPES * size_of::<Counters>()),
            partitions: place(layout.partitions * size_of::<Partition>()),
            slots: place(layout.slots() * size_of::<Slot>()),
            buckets: place(layout.slots() * size_of::<AtomicU32>()),
            layout,
            room,
            bytes: bytes + 128,
        }
    }

    /// # Safety
    /// `base` is the segment, zeroed when it was new, and `locks` the tranche.
    unsafe fn lay_out(&self, base: *mut u8, locks: *mut pg_sys::LWLockPadded) -> Shared {
        // SAFETY: the parts lie within the segment, do not overlap, are aligned, and consist of atomics, for which zeroes
        // are valid. Shared memory is never unmapped while the process lives.
        unsafe {
            let base = base.add(base.align_offset(128));
            let memory = Memory {
                partitions: std::slice::from_raw_parts(base.add(self.partitions).cast(), self.layout.partitions),
                slots: std::slice::from_raw_parts(base.add(self.slots).cast(), self.layout.slots()),
                buckets: std::slice::from_raw_parts(base.add(self.buckets).cast(), self.layout.slots()),
            };
            Shared {
                control: &*base.cast(),
                databases: std::slice::from_raw_parts(base.add(self.databases).cast(), self.room),
                counters: std::slice::from_raw_parts(base.add(self.counters).cast(), counters::STRIPES),
                registry: Registry::new(memory, LwLocks(locks)),
                locks: LwLocks(locks),
                layout: self.layout,
            }
        }
    }
}

/// Set by the postmaster in its start-up hook, which runs again after a crash; inherited by every process.
static mut SHARED: Option<Shared> = None;

/// The shared memory; `None` where the library was not preloaded.
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

/// Asks for the memory and the locks. To be called while preloading.
pub fn request() {
    // SAFETY: hooks are chained; all of it happens in the postmaster, which has one thread.
    unsafe {
        #[cfg(not(feature = "pg14"))]
        {
            PREVIOUS_REQUEST = pg_sys::shmem_request_hook;
            pg_sys::shmem_request_hook = Some(on_request);
        }
        #[cfg(feature = "pg14")]
        request_now();
        PREVIOUS_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(on_startup);
    }
}

#[cfg(not(feature = "pg14"))]
static mut PREVIOUS_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut PREVIOUS_STARTUP: pg_sys::shmem_startup_hook_type = None;

#[cfg(not(feature = "pg14"))]
#[pg_guard]
unsafe extern "C-unwind" fn on_request() {
    // SAFETY: as request.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST {
            previous();
        }
        request_now();
    }
}

/// How often this postmaster has made its shared memory: once, and again after each crash of one of its processes.
static STARTS: AtomicU32 = AtomicU32::new(0);

/// Whether the shared memory is there anew after a crash, under the same postmaster.
pub fn has_crashed() -> bool {
    STARTS.load(Ordering::Relaxed) > 1
}

/// # Safety
/// In the postmaster, while shared memory is being asked for.
unsafe fn request_now() {
    let plan = Plan::in_force();
    // SAFETY: by the caller's promise.
    unsafe {
        pg_sys::RequestAddinShmemSpace(plan.bytes);
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), plan.layout.partitions as i32 + 1);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: in the postmaster, before there are other processes: nobody else is to be locked out.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP {
            previous();
        }
        STARTS.fetch_add(1, Ordering::Relaxed);
        let plan = Plan::in_force();
        let mut found = false;
        let base = pg_sys::ShmemInitStruct(NAME.as_ptr(), plan.bytes, &mut found).cast::<u8>();
        let tranche = pg_sys::GetNamedLWLockTranche(NAME.as_ptr());
        if !found {
            ptr::write_bytes(base, 0, plan.bytes);
        }
        let shared = plan.lay_out(base, tranche);
        if !found {
            shared.registry.format();
        }
        SHARED = Some(shared);
        if let Some(shared) = get() {
            snapshot::start(shared);
        }
    }
}
