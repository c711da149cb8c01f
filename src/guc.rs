//! The settings of the server.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use pgrx::pg_sys;

static MAX_SESSIONS: GucSetting<i32> = GucSetting::<i32>::new(100_000);
static MAX_DATABASES: GucSetting<i32> = GucSetting::<i32>::new(1024);
static NAPTIME: GucSetting<i32> = GucSetting::<i32>::new(10);
static MAX_WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);
static DEBUG_LOCK_BEFORE_UPDATE: GucSetting<bool> = GucSetting::<bool>::new(false);

/// How many sessions the registry holds.
pub fn max_sessions() -> usize {
    MAX_SESSIONS.get() as usize
}

/// How many databases are served from memory.
pub fn max_databases() -> usize {
    MAX_DATABASES.get() as usize
}

/// How long the launcher sleeps if nothing wakes it, in seconds.
pub fn naptime() -> i64 {
    NAPTIME.get().into()
}

/// How many workers run at once.
pub fn max_workers() -> usize {
    MAX_WORKERS.get() as usize
}

/// Whether the flush locks each row before it updates it.
pub fn debug_lock_before_update() -> bool {
    DEBUG_LOCK_BEFORE_UPDATE.get()
}

/// Must be called once, while the library is preloaded.
pub fn define() {
    GucRegistry::define_int_guc(
        c"session_timeout.max_sessions",
        c"Sets the maximum number of sessions in the shared-memory registry.",
        c"Each session takes at most 128 bytes. Further sessions are checked against their rows.",
        &MAX_SESSIONS,
        100,
        100_000_000,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"session_timeout.max_databases",
        c"Sets the maximum number of databases served from shared memory and by maintenance workers.",
        c"Each database takes 256 bytes. Further databases are served from their rows, without maintenance.",
        &MAX_DATABASES,
        1,
        16_384,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"session_timeout.naptime",
        c"Sets the time that the launcher sleeps if nothing wakes it.",
        c"Shorter flush and purge intervals are raised to this value.",
        &NAPTIME,
        1,
        3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"session_timeout.max_workers",
        c"Sets the maximum number of simultaneously running maintenance workers.",
        c"Each running worker takes one of max_worker_processes, and so does the launcher.",
        &MAX_WORKERS,
        1,
        64,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"session_timeout.debug_lock_before_update",
        c"Locks each row before the flush updates it, as servers with assertions do.",
        c"This is for tests: both ways must write the same.",
        &DEBUG_LOCK_BEFORE_UPDATE,
        GucContext::Sighup,
        GucFlags::NO_SHOW_ALL,
    );
    // SAFETY: a string constant.
    unsafe {
        pg_sys::MarkGUCPrefixReserved(c"session_timeout".as_ptr());
    }
}
