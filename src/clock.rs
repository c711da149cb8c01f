//! The wall clock.

use session_timeout_core::time::Timestamp;

use crate::unguarded;

/// Now, as `clock_timestamp()` says: never the transaction's start.
pub fn now() -> Timestamp {
    Timestamp::from_micros(unguarded::current_timestamp())
}
