//! Making room for another database by entries whose rows lack some of what they know.

use std::cell::RefCell;

use crate::registry::test_support::{Owned, at, entries, key, load, params, row};
use crate::registry::{Checked, Displaced, Key, Loaded, Locks, Lost, Registry, SetExpired};
use crate::time::Timestamp;
use crate::verdict::{Expiry, Request};

fn key_in(database: u32, n: u32) -> Key {
    Key { database, ..key(n) }
}

/// Loads a session and touches it, so that it is dirty. Returns whether there was room.
fn is_used(registry: &Registry<impl Locks>, key: &Key, now: Timestamp) -> bool {
    let Checked::Miss(ticket) = registry.check(key, &params(0), Request::Counting, now) else {
        return true;
    };
    let loaded = registry.load(key, ticket, &row(1, at(0)));
    if loaded == Loaded::Ready {
        registry.check(key, &params(0), Request::Counting, now);
    }
    loaded == Loaded::Ready
}

fn entries_of(registry: &Registry<impl Locks>, database: u32) -> usize {
    entries(registry, database).len()
}

/// A partition of these slots, full of dirty sessions: of each database its percentage, one database after the other or mixed.
fn crowded(slots: usize, shares: &[(u32, usize)], mixed: bool) -> Owned {
    let owned = Owned::small(slots);
    let r = owned.registry();
    let room = slots - slots / 17;
    let mut sessions: Vec<u32> = shares
        .iter()
        .flat_map(|(database, percent)| std::iter::repeat_n(*database, (room * percent).div_ceil(100)))
        .collect();
    sessions.truncate(room);
    if mixed {
        let mut random = 1_u64;
        for n in (1..sessions.len()).rev() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sessions.swap(n, (random >> 33) as usize % (n + 1));
        }
    }
    for (n, database) in sessions.into_iter().enumerate() {
        assert!(is_used(&r, &key_in(database, n as u32), at(10)));
    }
    owned
}

/// Records what was displaced.
struct Recording<'t>(&'t RefCell<Vec<Displaced>>);

impl Locks for Recording<'_> {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn displaced(&self, displaced: Displaced) {
        self.0.borrow_mut().push(displaced);
    }
}

#[test]
fn a_small_database_gets_a_sixth_of_a_registry_full_of_dirty_entries() {
    for slots in [107, 921, 9000] {
        for mixed in [false, true] {
            let owned = crowded(slots, &[(1, 95), (3, 5)], mixed);
            let r = owned.registry();
            let before = entries_of(&r, 3);
            assert!(before < slots / 10);
            for n in 0..slots / 6 - before {
                assert!(
                    is_used(&r, &key_in(3, 1_000_000 + n as u32), at(20)),
                    "{slots} slots: {n}"
                );
            }
            assert_eq!(entries_of(&r, 3), slots / 6);
        }
    }
}

#[test]
fn a_database_without_entries_gets_one_at_once() {
    for others in [1, 2, 10, 20] {
        let shares: Vec<_> = (0..others)
            .map(|n| (10 + n as u32, 100_usize.div_ceil(others)))
            .collect();
        for mixed in [false, true] {
            let owned = crowded(921, &shares, mixed);
            let r = owned.registry();
            assert!(is_used(&r, &key_in(3, 1), at(20)), "{others} others");
        }
    }
}

#[test]
fn databases_with_equal_shares_do_not_take_from_each_other() {
    for mixed in [false, true] {
        let owned = crowded(921, &[(1, 50), (3, 50)], mixed);
        let r = owned.registry();
        let taken = (0..20_000)
            .filter(|n| is_used(&r, &key_in(1 + 2 * (n % 2), 1_000_000 + n), at(20)))
            .count();
        assert!(taken <= 4, "{taken} of 20000");
        assert!(entries_of(&r, 1).abs_diff(entries_of(&r, 3)) < 50);
    }
}

#[test]
fn a_database_that_is_alone_loses_nothing_to_itself() {
    let owned = crowded(921, &[(1, 100)], false);
    let r = owned.registry();
    for n in 0..1000 {
        assert!(!is_used(&r, &key_in(1, 1_000_000 + n), at(20)));
    }
    assert_eq!(entries_of(&r, 1), 921 - 921 / 17);
}

/// A check that finds no room costs the same at any size, and an entry that has been flushed is found all the same.
#[test]
fn if_all_entries_are_dirty_an_insert_looks_at_a_few_in_turn() {
    let owned = crowded(9000, &[(1, 100)], false);
    let r = owned.registry();
    let mut all_tries = 0;
    for turn in 0..20_u32 {
        let freed = turn * 397;
        let _ = r.flushed(&key(freed), 1, at(10));
        let tries = (1..)
            .find(|n| is_used(&r, &key_in(1, 1_000_000 + turn * 1000 + n), at(20)))
            .expect("it is found");
        assert!(tries <= 9000 / 128 + 1);
        assert_eq!(r.look(&key(freed), 1), None);
        all_tries += tries;
    }
    assert!(all_tries > 40, "one try goes over all of them: {all_tries}");
}

#[test]
fn an_invalidated_entry_of_another_database_makes_no_room() {
    let owned = crowded(107, &[(1, 100)], false);
    let r = owned.registry();
    for n in 0..101 {
        r.begin_invalidation(&key(n));
    }
    assert!(!is_used(&r, &key_in(3, 1), at(20)));
}

#[test]
fn expired_sessions_make_room_first_and_their_clocks_are_reported() {
    let owned = crowded(34, &[(1, 50)], false);
    let reported = RefCell::default();
    let r = Registry::new(owned.memory(), Recording(&reported));
    // In the slots of loads, and in the reserve.
    for n in 100..117 {
        let result = r.set_expired(&key(n), &row(1, at(5)), &params(60), at(66), false);
        assert_eq!(result, SetExpired::Yes(Expiry::Idle));
    }
    assert!(is_used(&r, &key_in(3, 1), at(20)));
    let expected = Displaced {
        database: 1,
        lost: Lost::Expiry(row(1, at(5)).session, Expiry::Idle),
    };
    assert_eq!(*reported.borrow(), [expected]);
}

/// For a restored entry, nobody knows how long the session had been idle, or whether its own limit was passed.
#[test]
fn an_expired_entry_without_its_rows_clocks_makes_no_room() {
    let owned = Owned::small(17);
    let r = owned.registry();
    for n in 0..17 {
        r.set_expired(&key(n), &row(1, at(5)), &params(60), at(66), false);
    }
    let records: Vec<_> = r.unsaved().collect();
    let owned = Owned::small(17);
    let r = owned.registry();
    assert!(records.iter().all(|record| r.restore(record)));
    assert!(!is_used(&r, &key_in(3, 1), at(20)));
    load(&r, &key(4), &row(1, at(5)));
    assert!(is_used(&r, &key_in(3, 1), at(20)));
    assert_eq!(r.look(&key(4), 1), None);
}
