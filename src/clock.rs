//! The wall clock.

use pgrx::pg_sys;
use session_timeout_core::time::Timestamp;

/// Now, as `clock_timestamp()` says: never the transaction's start.
pub fn now() -> Timestamp {
    // SAFETY: reads the system clock; raises nothing.
    Timestamp::from_micros(unsafe { pg_sys::GetCurrentTimestamp() })
}
