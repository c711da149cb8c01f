//! Scans, flushes, and what is removed after a commit or a drop.

use std::collections::HashSet;

use crate::registry::test_support::{Owned, at, key, load, params, row, ticket};
use crate::registry::{
    Checked, EntryFilter, EntryUpdate, EntryView, Key, Layout, Loaded, Outcome, SetExpired, Touched, Word,
};
use crate::verdict::{Expiry, Request};

#[test]
fn sessions_of_a_dropped_table_are_found_and_forgotten() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { table: 5, ..key(1) }, &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(1) }, &row(1, at(0)));
    assert_eq!(r.table_other_than(1, &[5]), Some(key(1).table));
    r.forget(1, Some(key(1).table));
    assert_eq!((r.fill().0, r.look(&key(1), 1)), (2, None));
    assert_eq!(r.table_other_than(1, &[5]), None);
}

#[test]
fn scans_find_dirty_and_expired_entries() {
    let owned = Owned::small(8);
    let r = owned.registry();
    for n in 1..=4 {
        load(&r, &key(n), &row(1, at(0)));
    }
    r.check(&key(1), &params(60), Request::Counting, at(10));
    r.check(&key(2), &params(60), Request::Counting, at(100));
    let scan = |filter| {
        let (mut found, mut cursor) = (Vec::with_capacity(8), r.scan(0));
        r.collect(&mut cursor, 1, 2, filter, &mut found);
        assert!(cursor.is_done());
        found
    };
    let dirty = EntryView {
        digest: key(1).digest,
        version: 1,
        activity: at(10),
        expiry: None,
    };
    assert_eq!(scan(EntryFilter::Dirty), [dirty]);
    let expired = EntryView {
        digest: key(2).digest,
        version: 1,
        activity: at(0),
        expiry: Some(Expiry::Idle),
    };
    assert_eq!(scan(EntryFilter::Expired), [expired]);
    let _ = r.flushed(&key(1), 1, at(9));
    assert_eq!(scan(EntryFilter::Dirty), [dirty]);
    let _ = r.flushed(&key(1), 1, at(10));
    assert_eq!(scan(EntryFilter::Dirty), []);
}

/// A scan looks at worklists: whatever makes an entry dirty or expired must list it.
#[test]
fn a_scan_finds_what_became_dirty_or_expired_in_any_way() {
    let owned = Owned::small(64);
    let r = owned.registry();
    let scan = |filter| {
        let (mut found, mut cursor) = (Vec::with_capacity(64), r.scan(0));
        r.collect(&mut cursor, 1, 2, filter, &mut found);
        found.len()
    };
    let clean = |n| row(i64::from(n), at(0));
    // A touch of an entry that a row answered for, with and without an entry.
    load(&r, &key(1), &clean(1));
    assert_eq!(r.touch(&key(1), 1, at(10)), Touched::Yes);
    assert_eq!(r.touch_by_row(&key(2), &clean(2), at(10), || true), Touched::Yes);
    // On a standby.
    assert!(r.remember(&key(3), &clean(3), at(10)));
    // At the end of a transaction: its own touch, and a login that continues another.
    for (n, update) in [
        (
            4,
            EntryUpdate {
                touch: Some((clean(4), at(10))),
                ..EntryUpdate::default()
            },
        ),
        (
            5,
            EntryUpdate {
                derived: Some((5, Word::of(at(10)))),
                ..EntryUpdate::default()
            },
        ),
    ] {
        let invalidation = r.begin_invalidation(&key(n));
        r.end_invalidation(&key(n), Some(invalidation), Outcome::Committed, update);
    }
    assert_eq!(scan(EntryFilter::Dirty), 5);
    let saved: Vec<_> = r.unsaved().collect();
    // Over a restart.
    let restored = Owned::small(64);
    let other = restored.registry();
    assert!(saved.iter().all(|session| other.restore(session)));
    let (mut found, mut cursor) = (Vec::with_capacity(64), other.scan(0));
    other.collect(&mut cursor, 1, 2, EntryFilter::Dirty, &mut found);
    assert_eq!(found.len(), 5);

    // Found expired on a row, with and without an entry, and at the end of a transaction.
    load(&r, &key(11), &clean(11));
    assert_eq!(
        r.set_expired(&key(11), &clean(11), &params(60), at(100), false),
        SetExpired::Yes(Expiry::Idle)
    );
    assert_eq!(
        r.set_expired(&key(12), &clean(12), &params(60), at(100), false),
        SetExpired::Yes(Expiry::Idle)
    );
    load(&r, &key(13), &clean(13));
    assert!(
        r.set_expired_if_known(&key(13), &clean(13), &params(60), at(100))
            .is_some()
    );
    let invalidation = r.begin_invalidation(&key(14));
    let update = EntryUpdate {
        expired: Some((clean(14), Expiry::Idle)),
        ..EntryUpdate::default()
    };
    r.end_invalidation(&key(14), Some(invalidation), Outcome::Committed, update);
    assert_eq!(scan(EntryFilter::Expired), 4);
    for n in 11..=14 {
        r.ended(&key(n), i64::from(n));
    }
    assert_eq!(scan(EntryFilter::Expired), 0);
}

#[test]
fn a_scan_finds_each_entry_once_wherever_it_begins_and_stops() {
    let owned = Owned::new(Layout {
        partitions: 4,
        slots_per_partition: 16,
    });
    let r = owned.registry();
    for n in 0..24 {
        load(&r, &key(n), &row(1, at(0)));
        r.check(&key(n), &params(0), Request::Counting, at(10));
    }
    for from in 0..64 {
        for room in [1, 5, 64] {
            let (mut found, mut cursor) = (Vec::new(), r.scan(from));
            while !cursor.is_done() {
                let mut batch = Vec::with_capacity(room);
                r.collect(&mut cursor, 1, 2, EntryFilter::Dirty, &mut batch);
                found.append(&mut batch);
            }
            let distinct: HashSet<_> = found.iter().map(|view| view.digest).collect();
            assert_eq!((found.len(), distinct.len()), (24, 24), "from {from}, {room} at once");
            assert_eq!(cursor.slot(), from);
        }
    }
}

#[test]
fn an_ended_login_leaves_the_next_one_alone() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(2, at(0)));
    r.ended(&key(1), 1);
    assert!(r.look(&key(1), 2).is_some());
    let before = ticket(&r, &key(9));
    r.ended(&key(1), 2);
    assert_eq!((r.look(&key(1), 2), r.fill().0), (None, 0));
    assert_eq!(r.load(&key(9), before, &row(1, at(0))), Loaded::Stale);
}

#[test]
fn a_dropped_database_leaves_nothing() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { table: 5, ..key(1) }, &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(1) }, &row(1, at(0)));
    r.forget(1, Some(5));
    assert_eq!(r.fill().0, 2);
    r.forget(1, None);
    assert_eq!(r.fill().0, 1);
}

/// A touch that comes between the scan of a flush and its end is not lost.
#[test]
fn the_end_of_a_flush_reports_newer_activity() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(10));
    let late = r.check(&key(1), &params(60), Request::Counting, at(20));
    assert!(matches!(late, Checked::Answer { newly_dirty: false, .. }));
    assert!(r.flushed(&key(1), 1, at(10)));
    assert!(!r.flushed(&key(1), 1, at(20)));
}

/// A flush writes many rows of a partition within a short time.
#[test]
fn a_flush_of_other_sessions_fails_no_load() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(10));
    let Checked::Miss(ticket) = r.check(&key(2), &params(60), Request::Counting, at(10)) else {
        panic!("it is not there");
    };
    assert!(!r.flushed(&key(1), 1, at(10)));
    assert_eq!(r.load(&key(2), ticket, &row(1, at(0))), Loaded::Ready);
}

/// Two checks miss, a flush comes between their reads, and the entry is evicted before the first reader loads its row.
#[test]
fn a_row_read_before_a_flush_is_not_loaded_after_an_eviction() {
    let owned = Owned::small(3);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(10)));
    r.check(&key(1), &params(60), Request::Counting, at(20));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Aborted, EntryUpdate::default());
    let before = ticket(&r, &key(1));
    assert!(!r.flushed(&key(1), 1, at(20)));
    assert_eq!(load(&r, &key(1), &row(1, at(20))), Loaded::Ready);
    for n in 2..=4 {
        load(&r, &key(n), &row(1, at(30)));
    }
    assert_eq!(r.look(&key(1), 1), None, "it has made room");
    assert_eq!(r.load(&key(1), before, &row(1, at(10))), Loaded::Stale);
}

#[test]
fn a_database_that_nobody_knows_is_found() {
    let owned = Owned::small(4);
    let r = owned.registry();
    assert_eq!(r.database_other_than(&[]), None);
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(2) }, &row(1, at(0)));
    assert_eq!(r.database_other_than(&[1]), Some(7));
    assert_eq!(r.database_other_than(&[7, 1]), None);
}
