//! Setting the expired flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

use crate::registry::test_support::{Owned, at, is_valid, judgement, key, load, params, row};
use crate::registry::{Checked, Displaced, EntryUpdate, Locks, Outcome, Registry, SetExpired};
use crate::verdict::{Expiry, Judgement, Request};

/// For several threads.
struct RealLocks<'l>(&'l [RwLock<()>]);

impl Locks for RealLocks<'_> {
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let _guard = self.0[partition].read().expect("no test panics under a lock");
        work()
    }
    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R {
        let _guard = self.0[partition].write().expect("no test panics under a lock");
        work()
    }
    fn displaced(&self, _: Displaced) {}
}

#[test]
fn an_expiry_found_during_an_invalidation_stays_with_the_version() {
    for (version, is_valid_after) in [(1, false), (2, true)] {
        let owned = Owned::small(4);
        let r = owned.registry();
        let invalidation = r.begin_invalidation(&key(1));
        assert_eq!(
            r.set_expired(&key(1), &row(1, at(0)), &params(60), at(61), false),
            SetExpired::Yes(Expiry::Idle)
        );
        r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
        load(&r, &key(1), &row(version, at(0)));
        assert_eq!(
            is_valid(r.check(&key(1), &params(1000), Request::Counting, at(62))),
            is_valid_after
        );
    }
}

#[test]
fn the_purge_expires_only_what_row_and_entry_agree_on() {
    let owned = Owned::small(2);
    let r = owned.registry();
    let p = params(60);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &p, Request::Counting, at(50));
    assert_eq!(
        r.set_expired(&key(1), &row(1, at(0)), &p, at(70), false),
        SetExpired::No
    );
    assert_eq!(
        r.set_expired(&key(1), &row(0, at(0)), &p, at(200), false),
        SetExpired::Over
    );
    assert_eq!(
        r.set_expired(&key(1), &row(1, at(0)), &p, at(111), false),
        SetExpired::Yes(Expiry::Idle)
    );
    assert_eq!(
        r.set_expired(&key(2), &row(1, at(0)), &p, at(111), false),
        SetExpired::Yes(Expiry::Idle)
    );
    assert_eq!(
        r.set_expired(&key(3), &row(1, at(0)), &p, at(111), false),
        SetExpired::Full
    );
    load(&r, &key(2), &row(1, at(0)));
    assert!(!is_valid(r.check(&key(2), &params(1000), Request::Counting, at(112))));
}

/// If no check has come since a login, its entry is a placeholder, or of an older login.
#[test]
fn the_purge_expires_a_session_whose_entry_is_of_an_older_login() {
    let owned = Owned::small(2);
    let r = owned.registry();
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    assert_eq!(
        r.set_expired(&key(1), &row(1, at(0)), &params(60), at(61), false),
        SetExpired::Yes(Expiry::Idle)
    );
    assert_eq!(
        r.set_expired(&key(1), &row(2, at(0)), &params(60), at(60), false),
        SetExpired::No
    );
    assert_eq!(
        r.set_expired(&key(1), &row(2, at(0)), &params(60), at(61), false),
        SetExpired::Yes(Expiry::Idle)
    );
}

#[test]
fn a_touch_since_a_row_was_judged_keeps_the_session_valid() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    // It comes between the judgement of the row and the flag.
    r.check(&key(1), &params(60), Request::Counting, at(59));
    assert_eq!(
        r.set_expired_if_known(&key(1), &row(1, at(0)), &params(60), at(61)),
        Some(SetExpired::No)
    );
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, at(61))));
    assert_eq!(
        r.set_expired_if_known(&key(1), &row(2, at(0)), &params(60), at(61)),
        None
    );
    let result = r.set_expired_if_known(&key(1), &row(1, at(0)), &params(60), at(120));
    assert_eq!(result, Some(SetExpired::Yes(Expiry::Idle)));
    assert!(!is_valid(r.check(&key(1), &params(1000), Request::Look, at(121))));
}

#[test]
fn an_expiry_that_a_transaction_found_does_not_override_a_later_touch() {
    let owned = Owned::small(4);
    let r = owned.registry();
    for (touched, is_left) in [(59, true), (0, false)] {
        load(&r, &key(touched), &row(1, at(0)));
        r.check(&key(touched), &params(60), Request::Counting, at(touched.into()));
        let update = EntryUpdate {
            expired: Some((row(1, at(0)), Expiry::Idle)),
            ..EntryUpdate::default()
        };
        r.end_invalidation(&key(touched), None, Outcome::Aborted, update);
        let (_, expiry) = r.look(&key(touched), 1).expect("an entry");
        assert_eq!(expiry.is_none(), is_left);
    }
}

/// Touches and expiries of one session at once: every check that was let in came before the expiry.
#[test]
fn touch_and_expiry_do_not_overwrite_each_other() {
    for cursor in 0..200 {
        let owned = Owned::small(4);
        let locks = [RwLock::new(())];
        let r = Registry::new(owned.memory(), RealLocks(&locks));
        let Checked::Miss(ticket) = r.check(&key(1), &params(60), Request::Look, at(0)) else {
            panic!("not empty")
        };
        r.load(&key(1), ticket, &row(1, at(0)));
        let expired = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            // At 60 s it is just valid, at 61 s it is not, unless a touch at 60 s came first.
            for now in [60, 61, 60, 61] {
                let (r, expired) = (&r, expired.clone());
                scope.spawn(move || {
                    for _ in 0..50 {
                        let was_expired = expired.load(Ordering::SeqCst);
                        match judgement(r.check(&key(1), &params(60), Request::Counting, at(now))) {
                            Judgement::Expired(_) => expired.store(true, Ordering::SeqCst),
                            Judgement::Valid { .. } => assert!(!was_expired, "cursor {cursor}: valid after expired"),
                        }
                    }
                });
            }
        });
    }
}
