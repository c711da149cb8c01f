//! Checks of more sessions than the registry holds.

use crate::support::preloaded::{self, QUICK};
use crate::support::{SessionCalls, figure, open_sessions};

#[test]
fn sessions_beyond_the_registry_are_answered_right() {
    let server = preloaded::small();
    let database = preloaded::database_on_small(&server, "beyond", &QUICK);
    let (mut client, mut other) = (database.connect(), database.connect());
    let sids = open_sessions(&mut client, 500);
    for sid in &sids {
        assert!(other.check(sid));
    }
    for sid in sids.iter().step_by(2) {
        assert!(client.close_sid(sid));
    }
    for (n, sid) in sids.iter().enumerate() {
        assert_eq!(other.check(sid), n % 2 == 1);
    }
    for sid in sids.iter().skip(1).step_by(4) {
        client.has_been_idle(sid, "3 hours");
        // The worker purges at once where the registry is full: then it is unknown already.
        assert!(["idle_expired", "unknown"].contains(&other.verdict(sid).status.as_str()));
    }
    assert!(figure(&mut client, "entries") <= figure(&mut client, "capacity"));
}
