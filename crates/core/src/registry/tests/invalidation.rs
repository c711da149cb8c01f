//! Changes of sessions, from before their commit until after it.

use crate::registry::test_support::{Owned, at, is_valid, key, load, params, row, ticket};
use crate::registry::{Checked, EntryUpdate, Invalidation, Key, Loaded, Outcome};
use crate::verdict::Request;

#[test]
fn an_invalidated_session_is_answered_from_its_row_and_loaded_again() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
fn activity_is_kept_only_if_the_version_is() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
fn a_new_login_does_not_inherit_the_expiry_of_the_old_one() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    load(&r, &key(1), &row(2, at(100)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Counting, at(101))));
}

#[test]
fn an_expiry_outlives_a_change_that_is_rolled_back() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(100));
    let invalidation = r.begin_invalidation(&key(1));
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Committed, EntryUpdate::default());
    load(&r, &key(1), &row(1, at(0)));
    assert!(!is_valid(r.check(&key(1), &params(1000), Request::Counting, at(101))));
}

#[test]
fn a_row_read_before_a_change_ended_is_not_loaded_after_it() {
    let owned = Owned::small(4);
    let r = owned.registry();
    let before = ticket(&r, &key(1));
    let invalidation = r.begin_invalidation(&key(1));
    assert_eq!(r.load(&key(1), before, &row(1, at(0))), Loaded::Invalidating);
    r.end_invalidation(&key(1), Some(invalidation), Outcome::Closed, EntryUpdate::default());
    assert_eq!(r.load(&key(1), before, &row(1, at(0))), Loaded::Stale);
    assert_eq!(r.load(&key(1), ticket(&r, &key(1)), &row(1, at(0))), Loaded::Ready);
}

#[test]
fn an_invalidated_session_without_an_entry_is_not_loaded() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
fn a_full_partition_loads_nothing_during_an_invalidation() {
    let owned = Owned::small(1);
    let r = owned.registry();
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
fn two_transactions_can_invalidate_one_session() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
    let owned = Owned::small(4);
    let r = owned.registry();
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

/// Limits are changed, or a session is rotated, while others go on using it.
#[test]
fn a_derived_version_takes_over_activity_and_expiry_of_its_origin() {
    let owned = Owned::small(4);
    let r = owned.registry();
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

/// A transaction that logged in and then made a request.
#[test]
fn a_touch_of_a_row_of_the_transaction_counts_once_committed() {
    for (outcome, expected) in [(Outcome::Committed, at(30)), (Outcome::Aborted, at(20))] {
        let owned = Owned::small(4);
        let r = owned.registry();
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
fn a_change_of_all_sessions_unverifies_only_those_of_its_database() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
