//! The registry's operations, one at a time, and under threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

use chrono::TimeDelta;

use super::*;
use crate::params::Params;
use crate::time::{Clock, Timestamp};
use crate::verdict::{Expiry, Judgement, Request};

/// Memory that lives as long as a test.
pub(super) struct Owned {
    partitions: Vec<Partition>,
    slots: Vec<Slot>,
    buckets: Vec<AtomicU32>,
}

impl Owned {
    pub(super) fn new(layout: Layout) -> Self {
        let owned = Self {
            partitions: (0..layout.partitions).map(|_| Partition::default()).collect(),
            slots: (0..layout.slots()).map(|_| Slot::default()).collect(),
            buckets: (0..layout.slots()).map(|_| AtomicU32::new(0)).collect(),
        };
        owned.memory().format();
        owned
    }

    pub(super) fn memory(&self) -> Memory<'_> {
        Memory {
            partitions: &self.partitions,
            slots: &self.slots,
            buckets: &self.buckets,
        }
    }
}

/// For one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoLocks;

impl Locks for NoLocks {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn displaced(&self, _: Displaced) {}
}

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

pub(super) fn key(n: u32) -> Key {
    Key {
        database: 1,
        table: 2,
        digest: Digest::of(&n.to_le_bytes()),
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub(super) fn row(version: i64, activity: Timestamp) -> Row {
    let session = Session {
        opened_at: at(0),
        last_activity: activity,
        idle_delay: None,
        absolute_delay: None,
    };
    Row { session, version }
}

pub(super) fn params(delay: i64) -> Params {
    Params {
        delay: (delay > 0).then(|| TimeDelta::seconds(delay)),
        ..Params::default()
    }
}

fn small(slots: usize) -> Owned {
    Owned::new(Layout {
        partitions: 1,
        slots_per_partition: slots,
    })
}

fn registry(owned: &Owned) -> Registry<'_, NoLocks> {
    Registry::new(owned.memory(), NoLocks)
}

fn ticket(registry: &Registry<NoLocks>, key: &Key) -> Ticket {
    match registry.check(key, &params(60), Request::Look, at(0)) {
        Checked::Miss(ticket) => ticket,
        other => panic!("expected a miss: {other:?}"),
    }
}

fn load(registry: &Registry<NoLocks>, key: &Key, row: &Row) -> Loaded {
    registry.load(key, ticket(registry, key), row)
}

fn judgement(checked: Checked) -> Judgement {
    match checked {
        Checked::Answer { judgement, .. } => judgement,
        other => panic!("expected an answer: {other:?}"),
    }
}

fn is_valid(checked: Checked) -> bool {
    matches!(judgement(checked), Judgement::Valid { .. })
}

#[test]
fn a_loaded_session_is_answered_and_touched() {
    let owned = small(4);
    let r = registry(&owned);
    assert_eq!(load(&r, &key(1), &row(1, at(0))), Loaded::Ready);
    let first = r.check(&key(1), &params(60), Request::Counting, at(50));
    assert!(matches!(first, Checked::Answer { newly_dirty: true, session, .. } if session.last_activity == at(50)));
    let second = r.check(&key(1), &params(60), Request::Counting, at(110));
    assert!(matches!(second, Checked::Answer { newly_dirty: false, session, .. } if session.last_activity == at(110)));
}

#[test]
fn a_late_request_does_not_move_activity_backwards() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(50));
    r.check(&key(1), &params(60), Request::Counting, at(20));
    assert_eq!(r.look(&key(1), 1), Some((at(50), None)));
}

#[test]
fn expired_once_is_final_whatever_the_delay_becomes() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    let found = r.check(&key(1), &params(60), Request::Counting, at(61));
    assert!(matches!(
        found,
        Checked::Answer {
            newly_expired: true,
            judgement: Judgement::Expired(Expiry::Idle),
            ..
        }
    ));
    for request in [Request::Counting, Request::Ignored, Request::Look] {
        let again = r.check(&key(1), &params(1000), request, at(62));
        assert!(matches!(
            again,
            Checked::Answer {
                newly_expired: false,
                judgement: Judgement::Expired(_),
                ..
            }
        ));
    }
}

#[test]
fn a_look_neither_touches_nor_marks() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, at(30))));
    assert!(!is_valid(r.check(&key(1), &params(60), Request::Look, at(61))));
    assert_eq!(r.look(&key(1), 1), Some((at(0), None)));
}

#[test]
fn databases_and_tables_do_not_see_each_others_sessions() {
    let owned = small(8);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    for other in [Key { database: 9, ..key(1) }, Key { table: 9, ..key(1) }] {
        assert!(matches!(
            r.check(&other, &params(60), Request::Look, at(0)),
            Checked::Miss(_)
        ));
    }
}

#[test]
fn a_session_in_flux_is_asked_of_its_row_and_read_again_afterwards() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    let invalidation = r.begin_invalidation(&key(1));
    assert_eq!(
        r.check(&key(1), &params(60), Request::Counting, at(1)),
        Checked::Invalidating
    );
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Counting, at(1)),
        Checked::Miss(_)
    ));
}

#[test]
fn activity_is_kept_where_the_version_is_and_dropped_where_it_is_not() {
    let owned = small(4);
    let r = registry(&owned);
    for (version, expected) in [(1, at(40)), (2, at(10))] {
        load(&r, &key(1), &row(1, at(0)));
        r.check(&key(1), &params(60), Request::Counting, at(40));
        let invalidation = r.begin_invalidation(&key(1));
        r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
        load(&r, &key(1), &row(version, at(10)));
        assert_eq!(r.look(&key(1), version), Some((expected, None)));
        r.ended(&key(1), version);
    }
}

#[test]
fn a_new_opening_is_not_held_by_the_mark_of_the_old() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    load(&r, &key(1), &row(2, at(100)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Counting, at(101))));
}

#[test]
fn a_mark_outlives_a_change_that_is_rolled_back() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    load(&r, &key(1), &row(1, at(0)));
    assert!(!is_valid(r.check(&key(1), &params(1000), Request::Counting, at(101))));
}

#[test]
fn a_row_read_before_a_change_ended_is_not_loaded_after_it() {
    let owned = small(4);
    let r = registry(&owned);
    let before = ticket(&r, &key(1));
    let invalidation = r.begin_invalidation(&key(1));
    assert_eq!(r.load(&key(1), before, &row(1, at(0))), Loaded::Invalidating);
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Closed, EntryUpdate::default());
    assert_eq!(r.load(&key(1), before, &row(1, at(0))), Loaded::Stale);
    assert_eq!(r.load(&key(1), ticket(&r, &key(1)), &row(1, at(0))), Loaded::Ready);
}

#[test]
fn a_session_in_flux_that_had_no_entry_is_not_loaded_and_others_are() {
    let owned = small(4);
    let r = registry(&owned);
    let invalidation = r.begin_invalidation(&key(1));
    assert_eq!(invalidation, Invalidation::Entry(i64::MIN));
    assert_eq!(
        r.check(&key(1), &params(60), Request::Look, at(0)),
        Checked::Invalidating
    );
    assert_eq!(load(&r, &key(2), &row(1, at(0))), Loaded::Ready);
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    assert_eq!(load(&r, &key(1), &row(1, at(0))), Loaded::Ready);
    assert_eq!(r.look(&key(1), 1), Some((at(0), None)));
}

#[test]
fn where_there_is_no_room_nothing_is_loaded_beside_a_session_in_flux() {
    let owned = small(1);
    let r = registry(&owned);
    load(&r, &key(9), &row(1, at(0)));
    r.check(&key(9), &params(60), Request::Counting, at(10));
    let invalidation = r.begin_invalidation(&key(1));
    assert_eq!(invalidation, Invalidation::Absent);
    let _ = r.flushed(&key(9), 1, at(10));
    assert_eq!(load(&r, &key(1), &row(1, at(0))), Loaded::Invalidating);
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    assert_eq!(load(&r, &key(1), &row(1, at(0))), Loaded::Ready);
}

#[test]
fn two_transactions_can_have_one_session_in_flux() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    let (one, other) = (r.begin_invalidation(&key(1)), r.begin_invalidation(&key(1)));
    r.end_invalidation(&key(1), Some(one), Outcome::Committed, EntryUpdate::default());
    assert_eq!(
        r.check(&key(1), &params(60), Request::Look, at(0)),
        Checked::Invalidating
    );
    r.end_invalidation(&key(1), Some(other), Outcome::Committed, EntryUpdate::default());
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Look, at(0)),
        Checked::Miss(_)
    ));
}

#[test]
fn a_touch_made_in_a_transaction_follows_at_its_end() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(
        &key(1),
        Some(invalidation),
        Outcome::Aborted,
        EntryUpdate {
            touch: Some((row(1, at(0)), at(30))),
            ..EntryUpdate::default()
        },
    );
    load(&r, &key(1), &row(1, at(0)));
    assert_eq!(r.look(&key(1), 1), Some((at(30), None)));
}

/// Limits changed, or a session rotated, while others went on with it.
#[test]
fn a_new_version_goes_on_with_the_activity_and_the_mark_of_the_old() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let word = r.retire(&key(1), 1);
    let invalidation = r.begin_invalidation(&key(2));
    r.end_invalidation(
        &key(2),
        Some(invalidation),
        Outcome::Committed,
        EntryUpdate {
            derived: word.map(|word| (5, word)),
            ..EntryUpdate::default()
        },
    );
    load(&r, &key(2), &row(5, at(90)));
    assert!(!is_valid(r.check(&key(2), &params(1000), Request::Counting, at(101))));
}

#[test]
fn sessions_of_a_dropped_table_are_found_and_forgotten_beside_those_of_the_new() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { table: 5, ..key(1) }, &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(1) }, &row(1, at(0)));
    assert_eq!(r.table_other_than(1, &[5]), Some(key(1).table));
    r.forget(1, Some(key(1).table));
    assert_eq!((r.fill().0, r.look(&key(1), 1)), (2, None));
    assert_eq!(r.table_other_than(1, &[5]), None);
}

/// A transaction that opened a session and made a request with it.
#[test]
fn a_touch_of_the_transactions_own_row_counts_once_it_is_committed_and_read() {
    for (outcome, expected) in [(Outcome::Committed, at(30)), (Outcome::Aborted, at(20))] {
        let owned = small(4);
        let r = registry(&owned);
        load(&r, &key(1), &row(1, at(0)));
        let invalidation = r.begin_invalidation(&key(1));
        r.end_invalidation(
            &key(1),
            Some(invalidation),
            outcome,
            EntryUpdate {
                touch: Some((row(2, at(20)), at(30))),
                ..EntryUpdate::default()
            },
        );
        load(&r, &key(1), &row(2, at(20)));
        assert_eq!(r.look(&key(1), 2), Some((expected, None)));
    }
}

#[test]
fn a_session_found_expired_while_in_flux_is_final_as_long_as_its_version_stays() {
    for (version, is_valid_after) in [(1, false), (2, true)] {
        let owned = small(4);
        let r = registry(&owned);
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
fn marks_and_fluxes_find_room_where_all_the_rest_is_dirty() {
    let owned = small(17);
    let r = registry(&owned);
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
fn logins_do_not_use_up_the_room_that_is_kept_for_marks() {
    let owned = small(34);
    let r = registry(&owned);
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
fn closed_is_known_until_the_entry_goes() {
    let owned = small(4);
    let r = registry(&owned);
    assert_eq!(r.missing(&key(1), ticket(&r, &key(1))), Missing::Unknown);
    load(&r, &key(1), &row(1, at(0)));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Closed, EntryUpdate::default());
    assert_eq!(r.missing(&key(1), ticket(&r, &key(1))), Missing::Closed);
    load(&r, &key(1), &row(2, at(0)));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    assert_eq!(r.missing(&key(1), ticket(&r, &key(1))), Missing::Unknown);
    assert_eq!(r.fill().0, 0);
}

#[test]
fn clean_entries_make_room_and_dirty_marked_or_fluxed_ones_do_not() {
    let owned = small(3);
    let r = registry(&owned);
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
    let owned = small(3);
    let r = registry(&owned);
    for (n, activity) in [(1, 30), (2, 10), (3, 20)] {
        load(&r, &key(n), &row(1, at(activity)));
    }
    load(&r, &key(4), &row(1, at(40)));
    assert_eq!(r.look(&key(2), 1), None);
}

#[test]
fn scans_find_what_is_dirty_and_what_is_marked() {
    let owned = small(8);
    let r = registry(&owned);
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
    let set = EntryView {
        digest: key(2).digest,
        version: 1,
        activity: at(0),
        expiry: Some(Expiry::Idle),
    };
    assert_eq!(scan(EntryFilter::Expired), [set]);
    let _ = r.flushed(&key(1), 1, at(9));
    assert_eq!(scan(EntryFilter::Dirty), [dirty]);
    let _ = r.flushed(&key(1), 1, at(10));
    assert_eq!(scan(EntryFilter::Dirty), []);
}

#[test]
fn a_round_comes_by_each_entry_once_wherever_it_begins_and_however_often_it_stops() {
    let owned = Owned::new(Layout {
        partitions: 4,
        slots_per_partition: 16,
    });
    let r = registry(&owned);
    for n in 0..24 {
        load(&r, &key(n), &row(1, at(0)));
    }
    for from in 0..64 {
        for room in [1, 5, 64] {
            let (mut found, mut cursor) = (Vec::new(), r.scan(from));
            while !cursor.is_done() {
                let mut batch = Vec::with_capacity(room);
                r.collect(&mut cursor, 1, 2, EntryFilter::Any, &mut batch);
                found.append(&mut batch);
            }
            let distinct: HashSet<_> = found.iter().map(|view| view.digest).collect();
            assert_eq!((found.len(), distinct.len()), (24, 24), "from {from}, {room} at once");
            assert_eq!(cursor.slot(), from);
        }
    }
}

#[test]
fn the_purge_marks_only_what_row_and_entry_agree_is_expired() {
    let owned = small(2);
    let r = registry(&owned);
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

/// A login leaves an entry of no opening, or of an older one, where no check has come since.
#[test]
fn the_purge_marks_a_session_whose_entry_is_of_an_older_opening() {
    let owned = small(2);
    let r = registry(&owned);
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
fn an_ended_opening_leaves_the_next_one_alone() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(2, at(0)));
    r.ended(&key(1), 1);
    assert!(r.look(&key(1), 2).is_some());
    let before = ticket(&r, &key(9));
    r.ended(&key(1), 2);
    assert_eq!((r.look(&key(1), 2), r.fill().0), (None, 0));
    assert_eq!(r.load(&key(9), before, &row(1, at(0))), Loaded::Stale);
}

#[test]
fn a_change_of_all_sessions_unverifies_those_of_its_database_only() {
    let owned = small(4);
    let r = registry(&owned);
    let other = Key { database: 7, ..key(2) };
    let of_another_table = Key { table: 5, ..key(3) };
    for key in [key(1), of_another_table, other] {
        load(&r, &key, &row(1, at(0)));
    }
    r.unverify_all(1);
    for key in [key(1), of_another_table] {
        let checked = r.check(&key, &params(60), Request::Look, at(0));
        assert!(matches!(checked, Checked::Miss(_)), "{checked:?}");
    }
    assert!(is_valid(r.check(&other, &params(60), Request::Look, at(0))));
}

#[test]
fn a_touch_that_came_since_a_row_was_judged_keeps_it_from_being_marked() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    // Whoever marks has judged the row; this came in between.
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
    let set = r.set_expired_if_known(&key(1), &row(1, at(0)), &params(60), at(120));
    assert_eq!(set, Some(SetExpired::Yes(Expiry::Idle)));
    assert!(!is_valid(r.check(&key(1), &params(1000), Request::Look, at(121))));
}

#[test]
fn what_a_transaction_found_does_not_come_over_a_touch_since() {
    let owned = small(4);
    let r = registry(&owned);
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

#[test]
fn a_check_that_waited_for_the_lock_reads_the_clock_again() {
    struct Contended;
    impl Locks for Contended {
        fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
            work()
        }
        fn shared_timed<R>(&self, _: usize, work: impl FnOnce(bool) -> R) -> R {
            work(true)
        }
        fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
            work()
        }
        fn displaced(&self, _: Displaced) {}
    }
    struct Late;
    impl Clock for Late {
        fn now(&self) -> Timestamp {
            at(60)
        }
        fn now_after_wait(&self) -> Timestamp {
            at(61)
        }
    }
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, Late)));
    let contended = Registry::new(owned.memory(), Contended);
    assert!(!is_valid(contended.check(&key(1), &params(60), Request::Look, Late)));
}

#[test]
fn a_dropped_database_leaves_nothing() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { table: 5, ..key(1) }, &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(1) }, &row(1, at(0)));
    r.forget(1, Some(5));
    assert_eq!(r.fill().0, 2);
    r.forget(1, None);
    assert_eq!(r.fill().0, 1);
}

#[test]
fn a_standby_remembers_activity_but_never_answers_from_it() {
    let owned = small(4);
    let r = registry(&owned);
    assert!(r.remember(&key(1), &row(1, at(0)), at(30)));
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Counting, at(31)),
        Checked::Miss(_)
    ));
    assert_eq!(r.look(&key(1), 1), Some((at(30), None)));
    assert!(r.remember(&key(1), &row(2, at(5)), at(6)));
    assert_eq!(r.look(&key(1), 2), Some((at(6), None)));
}

/// Nothing is written down there, so that everything stays dirty: the newest activity is kept.
#[test]
fn a_standbys_registry_forgets_what_was_used_longest_ago() {
    let owned = small(4);
    let r = registry(&owned);
    for n in 0..20 {
        assert!(r.remember(&key(n), &row(1, at(0)), at(i64::from(n) + 1)));
    }
    assert_eq!(r.look(&key(19), 1), Some((at(20), None)));
    assert_eq!(r.look(&key(0), 1), None);
}

/// Many sessions come and go in a table that is too small for them: chains, free lists and eviction stay whole.
#[test]
fn the_table_stays_whole_under_churn() {
    let owned = Owned::new(Layout {
        partitions: 2,
        slots_per_partition: 16,
    });
    let r = registry(&owned);
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
    let (mut found, mut cursor) = (Vec::with_capacity(64), r.scan(0));
    while !cursor.is_done() {
        r.collect(&mut cursor, 1, 2, EntryFilter::Any, &mut found);
    }
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

/// Touches and expiries of one session at once: whoever was let in came before the mark, and none after it.
#[test]
fn touch_and_mark_cannot_cross() {
    for cursor in 0..200 {
        let owned = small(4);
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

/// What a registry had unsaved counts in the next one, for the same opening only, and nothing else does.
#[test]
fn unsaved_activity_and_marks_are_restored_but_no_validity() {
    let owned = small(8);
    let r = registry(&owned);
    for n in 1..=3 {
        load(&r, &key(n), &row(1, at(0)));
    }
    r.check(&key(1), &params(60), Request::Counting, at(30));
    r.check(&key(2), &params(60), Request::Counting, at(100));
    let records: Vec<_> = r.unsaved().collect();
    assert_eq!(records.len(), 2);

    let owned = small(8);
    let r = registry(&owned);
    assert!(records.iter().all(|record| r.restore(record)));
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Counting, at(31)),
        Checked::Miss(_)
    ));
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &key(2), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, at(90))));
    assert!(!is_valid(r.check(&key(2), &params(1000), Request::Look, at(90))));
    let other = small(8);
    let r = registry(&other);
    assert!(records.iter().all(|record| r.restore(record)));
    load(&r, &key(2), &row(2, at(80)));
    assert!(is_valid(r.check(&key(2), &params(60), Request::Look, at(90))));
}

/// A registry that is smaller than the one before has room for the marks at least: activity that is lost ends a session
/// early, a mark that is lost may let one live on.
#[test]
fn marks_are_restored_before_activity() {
    let owned = small(8);
    let r = registry(&owned);
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
    let owned = small(2);
    let r = registry(&owned);
    assert_eq!(records.iter().filter(|record| r.restore(record)).count(), 2);
    assert_eq!(r.look(&key(7), 1), Some((at(0), Some(Expiry::Idle))));
}

/// A cleanly shut down primary that is started as a standby, which may be promoted.
#[test]
fn a_restored_mark_makes_no_room_on_a_standby() {
    let owned = small(8);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let records: Vec<_> = r.unsaved().collect();
    let owned = small(2);
    let r = registry(&owned);
    assert!(records.iter().all(|record| r.restore(record)));
    for n in 2..=5 {
        assert!(r.remember(&key(n), &row(1, at(0)), at(30)));
    }
    assert_eq!(r.look(&key(1), 1), Some((at(0), Some(Expiry::Idle))));
}

/// A touch that comes between a flush's look and its end is not overlooked.
#[test]
fn the_end_of_a_flush_tells_of_newer_activity() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(10));
    let late = r.check(&key(1), &params(60), Request::Counting, at(20));
    assert!(matches!(late, Checked::Answer { newly_dirty: false, .. }));
    assert!(r.flushed(&key(1), 1, at(10)));
    assert!(!r.flushed(&key(1), 1, at(20)));
}

/// A flush writes many rows of a partition in no time.
#[test]
fn a_flush_of_other_sessions_turns_no_load_away() {
    let owned = small(4);
    let r = registry(&owned);
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(10));
    let Checked::Miss(ticket) = r.check(&key(2), &params(60), Request::Counting, at(10)) else {
        panic!("it is not there");
    };
    assert!(!r.flushed(&key(1), 1, at(10)));
    assert_eq!(r.load(&key(2), ticket, &row(1, at(0))), Loaded::Ready);
}

/// Two checks miss; a flush comes between their reads; the entry that knew goes before the later of them loads what it read.
#[test]
fn a_row_that_was_read_before_a_flush_is_not_loaded_where_the_entry_has_gone_since() {
    let owned = small(3);
    let r = registry(&owned);
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
    let owned = small(4);
    let r = registry(&owned);
    assert_eq!(r.database_other_than(&[]), None);
    load(&r, &key(1), &row(1, at(0)));
    load(&r, &Key { database: 7, ..key(2) }, &row(1, at(0)));
    assert_eq!(r.database_other_than(&[1]), Some(7));
    assert_eq!(r.database_other_than(&[7, 1]), None);
}

// ---- A full registry -------------------------------------------------------------------------------------------------

fn key_in(database: u32, n: u32) -> Key {
    Key { database, ..key(n) }
}

/// Loads a session and uses it, so that its row does not know all. Whether there was room.
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
    let (mut found, mut cursor) = (Vec::with_capacity(100_000), registry.scan(0));
    while !cursor.is_done() {
        registry.collect(&mut cursor, database, 2, EntryFilter::Any, &mut found);
    }
    found.len()
}

/// Sessions of databases, as many of each as there are parts of it in a hundred, until a partition of these slots is full:
/// one after the other, or mixed.
fn crowded(slots: usize, shares: &[(u32, usize)], mixed: bool) -> Owned {
    let owned = small(slots);
    let r = registry(&owned);
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

#[test]
fn a_small_database_gets_a_sixth_of_a_registry_that_another_has_filled_with_what_is_dirty() {
    for slots in [107, 921, 9000] {
        for mixed in [false, true] {
            let owned = crowded(slots, &[(1, 95), (3, 5)], mixed);
            let r = registry(&owned);
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
fn a_database_that_has_nothing_gets_an_entry_at_once_however_many_others_there_are() {
    for others in [1, 2, 10, 20] {
        let shares: Vec<_> = (0..others)
            .map(|n| (10 + n as u32, 100_usize.div_ceil(others)))
            .collect();
        for mixed in [false, true] {
            let owned = crowded(921, &shares, mixed);
            let r = registry(&owned);
            assert!(is_used(&r, &key_in(3, 1), at(20)), "{others} others");
        }
    }
}

#[test]
fn databases_with_equal_shares_do_not_take_from_each_other() {
    for mixed in [false, true] {
        let owned = crowded(921, &[(1, 50), (3, 50)], mixed);
        let r = registry(&owned);
        let taken = (0..20_000)
            .filter(|n| is_used(&r, &key_in(1 + 2 * (n % 2), 1_000_000 + n), at(20)))
            .count();
        assert!(taken <= 4, "{taken} of 20000");
        assert!(entries_of(&r, 1).abs_diff(entries_of(&r, 3)) < 50);
    }
}

#[test]
fn a_database_that_is_alone_uses_all_of_the_registry_and_loses_nothing_to_itself() {
    let owned = crowded(921, &[(1, 100)], false);
    let r = registry(&owned);
    for n in 0..1000 {
        assert!(!is_used(&r, &key_in(1, 1_000_000 + n), at(20)));
    }
    assert_eq!(entries_of(&r, 1), 921 - 921 / 17);
}

/// A check that finds no room costs the same at any size, and still what is flushed is found.
#[test]
fn where_all_is_dirty_few_slots_are_looked_at_and_each_has_its_turn() {
    let owned = crowded(9000, &[(1, 100)], false);
    let r = registry(&owned);
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
fn what_another_database_has_in_flux_does_not_make_room() {
    let owned = crowded(107, &[(1, 100)], false);
    let r = registry(&owned);
    for n in 0..101 {
        r.begin_invalidation(&key(n));
    }
    assert!(!is_used(&r, &key_in(3, 1), at(20)));
}

/// Tells what has made room.
struct Recording<'t>(&'t std::cell::RefCell<Vec<Displaced>>);

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
fn expired_sessions_make_room_first_and_it_is_told_how_long_they_had_been_idle() {
    let owned = crowded(34, &[(1, 50)], false);
    let reported = std::cell::RefCell::default();
    let r = Registry::new(owned.memory(), Recording(&reported));
    // In the room of loads and in that of marks.
    for n in 100..117 {
        let set = r.set_expired(&key(n), &row(1, at(5)), &params(60), at(66), false);
        assert_eq!(set, SetExpired::Yes(Expiry::Idle));
    }
    assert!(is_used(&r, &key_in(3, 1), at(20)));
    let expected = Displaced {
        database: 1,
        lost: Lost::Expiry(row(1, at(5)).session, Expiry::Idle),
    };
    assert_eq!(*reported.borrow(), [expected]);
}

/// Of what an earlier run has left it is not known how long the session had been idle by then, or whether its own limit
/// was passed.
#[test]
fn an_expiry_whose_row_is_not_known_does_not_make_room() {
    let owned = small(17);
    let r = registry(&owned);
    for n in 0..17 {
        r.set_expired(&key(n), &row(1, at(5)), &params(60), at(66), false);
    }
    let records: Vec<_> = r.unsaved().collect();
    let owned = small(17);
    let r = registry(&owned);
    assert!(records.iter().all(|record| r.restore(record)));
    assert!(!is_used(&r, &key_in(3, 1), at(20)));
    load(&r, &key(4), &row(1, at(5)));
    assert!(is_used(&r, &key_in(3, 1), at(20)));
    assert_eq!(r.look(&key(4), 1), None);
}

/// How often the exclusive lock was asked for.
struct Counting<'c>(&'c std::cell::Cell<u32>);

impl Locks for Counting<'_> {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        self.0.set(self.0.get() + 1);
        work()
    }
    fn displaced(&self, _: Displaced) {}
}

#[test]
fn a_session_id_that_nobody_knows_takes_no_exclusive_lock() {
    let owned = small(4);
    let taken = std::cell::Cell::new(0);
    let r = Registry::new(owned.memory(), Counting(&taken));
    let Checked::Miss(ticket) = r.check(&key(1), &params(60), Request::Counting, at(0)) else {
        panic!("it is not there");
    };
    assert_eq!(r.missing(&key(1), ticket), Missing::Unknown);
    assert_eq!(taken.get(), 0);
}
