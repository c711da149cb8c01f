//! What a session takes of shared memory, all told.

use crate::support::{SessionCalls, preloaded};

#[test]
fn a_session_takes_at_most_136_bytes_of_shared_memory() {
    for sessions in [100_000, 1_000_000] {
        let server = preloaded::builder()
            .setting("session_timeout.max_sessions", &sessions.to_string())
            .start();
        let sql = "SELECT sum(allocated_size)::bigint FROM pg_shmem_allocations WHERE name ~ 'session_timeout'";
        let bytes: i64 = server.connect().value(sql, &[]);
        assert!(
            bytes > sessions * 100 && bytes <= sessions * 136,
            "{bytes} bytes for {sessions} sessions"
        );
    }
}
