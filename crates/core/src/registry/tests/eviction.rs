//! Making room by entries that may go at no loss, and the reserve.

use crate::registry::test_support::{Owned, at, entries, key, load, params, row};
use crate::registry::{Checked, EntryUpdate, Key, Layout, Loaded, Outcome, SetExpired};
use crate::verdict::{Expiry, Request};

#[test]
fn expired_sessions_find_room_if_all_others_are_dirty() {
    let owned = Owned::small(17);
    let r = owned.registry();
    for n in 0..16 {
        load(&r, &key(n), &row(1, at(0)));
        r.check(&key(n), &params(60), Request::Counting, at(10));
    }
    assert_eq!(load(&r, &key(20), &row(1, at(0))), Loaded::Full);
    assert_eq!(
        r.set_expired(&key(20), &row(1, at(0)), &params(60), at(61), false),
        SetExpired::Yes(Expiry::Idle)
    );
    assert_eq!(
        r.set_expired(&key(21), &row(1, at(0)), &params(60), at(61), false),
        SetExpired::Full
    );
}

#[test]
fn logins_do_not_use_up_the_reserve() {
    let owned = Owned::small(34);
    let r = owned.registry();
    for n in 0..100 {
        let invalidation = r.begin_invalidation(&key(n));
        r.end_invalidation(&key(n), Some(invalidation), Outcome::Committed, EntryUpdate::default());
        load(&r, &key(n), &row(1, at(0)));
        r.check(&key(n), &params(60), Request::Counting, at(10));
    }
    let expiry = |n| r.set_expired(&key(n), &row(1, at(0)), &params(60), at(61), false);
    assert_eq!([expiry(200), expiry(201)], [SetExpired::Yes(Expiry::Idle); 2]);
    assert_eq!(expiry(202), SetExpired::Full);
}

#[test]
fn only_clean_entries_make_room() {
    let owned = Owned::small(3);
    let r = owned.registry();
    for n in 1..=3 {
        load(&r, &key(n), &row(1, at(0)));
    }
    r.check(&key(1), &params(60), Request::Counting, at(10));
    r.check(&key(2), &params(60), Request::Counting, at(100));
    assert_eq!(load(&r, &key(4), &row(1, at(0))), Loaded::Ready);
    assert_eq!(
        (
            r.look(&key(1), 1).is_some(),
            r.look(&key(2), 1).is_some(),
            r.look(&key(3), 1)
        ),
        (true, true, None)
    );
    r.begin_invalidation(&key(4));
    assert_eq!(load(&r, &key(5), &row(1, at(0))), Loaded::Full);
    let _ = r.flushed(&key(1), 1, at(10));
    assert_eq!(load(&r, &key(5), &row(1, at(0))), Loaded::Ready);
    assert_eq!(r.look(&key(1), 1), None);
}

#[test]
fn of_several_clean_entries_the_one_used_longest_ago_goes() {
    let owned = Owned::small(3);
    let r = owned.registry();
    for (n, activity) in [(1, 30), (2, 10), (3, 20)] {
        load(&r, &key(n), &row(1, at(activity)));
    }
    load(&r, &key(4), &row(1, at(40)));
    assert_eq!(r.look(&key(2), 1), None);
}

/// A standby flushes nothing, so all entries stay dirty: the newest activity is kept.
#[test]
fn a_standbys_registry_forgets_what_was_used_longest_ago() {
    let owned = Owned::small(4);
    let r = owned.registry();
    for n in 0..20 {
        assert!(r.remember(&key(n), &row(1, at(0)), at(i64::from(n) + 1)));
    }
    assert_eq!(r.look(&key(19), 1), Some((at(20), None)));
    assert_eq!(r.look(&key(0), 1), None);
}

/// Many sessions come and go in a table that is too small for them: chains and free lists stay intact.
#[test]
fn the_table_stays_intact_under_churn() {
    let owned = Owned::new(Layout {
        partitions: 2,
        slots_per_partition: 16,
    });
    let r = owned.registry();
    for n in 0..10_000_u32 {
        let k = key(n % 97);
        if let Checked::Miss(ticket) = r.check(&k, &params(0), Request::Counting, at(n.into())) {
            let loaded = r.load(&k, ticket, &row(1, at(n.into())));
            assert_ne!(loaded, Loaded::Stale);
        }
        match n % 7 {
            0 => r.ended(&key(n.wrapping_mul(31) % 97), 1),
            1 | 2 => {
                let _ = r.flushed(&k, 1, at(n.into()));
            }
            _ => {}
        }
    }
    let found = entries(&r, 1);
    assert_eq!(found.len(), r.fill().0);
    assert!(found.iter().all(|view| {
        r.look(
            &Key {
                digest: view.digest,
                ..key(0)
            },
            1,
        )
        .is_some()
    }));
}
