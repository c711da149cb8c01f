//! What a clean shutdown saves, and the next start restores.

use crate::registry::Checked;
use crate::registry::test_support::{Owned, at, is_valid, key, load, params, row};
use crate::verdict::{Expiry, Request};

/// What a registry had unsaved counts in the next one, for the same login only.
#[test]
fn unsaved_activity_and_expiries_are_restored_but_no_validity() {
    let owned = Owned::small(8);
    let r = owned.registry();
    for n in 1..=3 {
        load(&r, &key(n), &row(1, at(0)));
    }
    r.check(&key(1), &params(60), Request::Counting, at(30));
    r.check(&key(2), &params(60), Request::Counting, at(100));
    let records: Vec<_> = r.unsaved().collect();
    assert_eq!(records.len(), 2);

    let owned = Owned::small(8);
    let r = owned.registry();
    assert!(records.iter().all(|record| r.restore(record)));
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Counting, at(31)),
        Checked::Miss(_)
    ));
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &key(2), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, at(90))));
    assert!(!is_valid(r.check(&key(2), &params(1000), Request::Look, at(90))));
    let other = Owned::small(8);
    let r = other.registry();
    assert!(records.iter().all(|record| r.restore(record)));
    load(&r, &key(2), &row(2, at(80)));
    assert!(is_valid(r.check(&key(2), &params(60), Request::Look, at(90))));
}

/// A smaller registry has room for the expired sessions at least: lost activity ends a session early, a lost expiry may let
/// one live on.
#[test]
fn expiries_are_restored_before_activity() {
    let owned = Owned::small(8);
    let r = owned.registry();
    for n in 1..=8 {
        load(&r, &key(n), &row(1, at(0)));
        r.check(
            &key(n),
            &params(60),
            Request::Counting,
            at(if n == 7 { 100 } else { 30 }),
        );
    }
    let records: Vec<_> = r.unsaved().collect();
    assert_eq!(records.len(), 8);
    let owned = Owned::small(2);
    let r = owned.registry();
    assert_eq!(records.iter().filter(|record| r.restore(record)).count(), 2);
    assert_eq!(r.look(&key(7), 1), Some((at(0), Some(Expiry::Idle))));
}

/// A cleanly shut down primary that is started as a standby, which may be promoted.
#[test]
fn a_restored_expired_entry_makes_no_room_on_a_standby() {
    let owned = Owned::small(8);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let records: Vec<_> = r.unsaved().collect();
    let owned = Owned::small(2);
    let r = owned.registry();
    assert!(records.iter().all(|record| r.restore(record)));
    for n in 2..=5 {
        assert!(r.remember(&key(n), &row(1, at(0)), at(30)));
    }
    assert_eq!(r.look(&key(1), 1), Some((at(0), Some(Expiry::Idle))));
}
