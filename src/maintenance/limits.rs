//! How long everything may take.

use std::ffi::CStr;
use std::time::Duration;

use crate::pg::background::set_config;

/// After this time a pass ends, and another worker continues.
pub const PASS: Duration = Duration::from_secs(2);

/// How long a database is left alone after a pass, in microseconds, so that whoever waits to drop or copy it gets its turn.
pub const PAUSE: i64 = 500_000;

/// How long a worker may run, by a clock that nobody sets. Then the launcher ends it, so that it does not keep its place from
/// other databases.
pub const LONGEST_RUN: Duration = Duration::from_secs(10);

/// How long launcher and workers wait for any lock. A pass and a wait in each of its steps must end within the five seconds
/// that DROP DATABASE waits.
pub const LOCK_WAIT: &CStr = c"500ms";

/// Applies [`LOCK_WAIT`] to this process. Must be called before it connects.
pub fn limit_lock_waits() {
    set_config(c"lock_timeout", LOCK_WAIT);
}
