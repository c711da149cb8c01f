//! Checks: hits, misses, what is known of a session without a row, and a standby.

use std::cell::Cell;

use crate::registry::test_support::{Owned, at, is_valid, key, load, params, row, ticket};
use crate::registry::{Checked, Displaced, EntryUpdate, Key, Loaded, Locks, Missing, Outcome, Registry};
use crate::time::{Clock, Timestamp};
use crate::verdict::{Expiry, Judgement, Request};

/// Counts how often the exclusive lock was asked for.
struct Counting<'c>(&'c Cell<u32>);

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
fn a_loaded_session_is_answered_and_touched() {
    let owned = Owned::small(4);
    let r = owned.registry();
    assert_eq!(load(&r, &key(1), &row(1, at(0))), Loaded::Ready);
    let first = r.check(&key(1), &params(60), Request::Counting, at(50));
    assert!(matches!(first, Checked::Answer { newly_dirty: true, session, .. } if session.last_activity == at(50)));
    let second = r.check(&key(1), &params(60), Request::Counting, at(110));
    assert!(matches!(second, Checked::Answer { newly_dirty: false, session, .. } if session.last_activity == at(110)));
}

#[test]
fn a_late_request_does_not_move_activity_backwards() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    r.check(&key(1), &params(60), Request::Counting, at(50));
    r.check(&key(1), &params(60), Request::Counting, at(20));
    assert_eq!(r.look(&key(1), 1), Some((at(50), None)));
}

#[test]
fn expired_once_is_final_whatever_the_delay_becomes() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
fn a_look_neither_touches_nor_expires() {
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, at(30))));
    assert!(!is_valid(r.check(&key(1), &params(60), Request::Look, at(61))));
    assert_eq!(r.look(&key(1), 1), Some((at(0), None)));
}

#[test]
fn databases_and_tables_do_not_see_each_others_sessions() {
    let owned = Owned::small(8);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    for other in [Key { database: 9, ..key(1) }, Key { table: 9, ..key(1) }] {
        assert!(matches!(
            r.check(&other, &params(60), Request::Look, at(0)),
            Checked::Miss(_)
        ));
    }
}

#[test]
fn closed_is_known_until_the_entry_goes() {
    let owned = Owned::small(4);
    let r = owned.registry();
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
    let owned = Owned::small(4);
    let r = owned.registry();
    load(&r, &key(1), &row(1, at(0)));
    assert!(is_valid(r.check(&key(1), &params(60), Request::Look, Late)));
    let contended = Registry::new(owned.memory(), Contended);
    assert!(!is_valid(contended.check(&key(1), &params(60), Request::Look, Late)));
}

#[test]
fn a_standby_remembers_activity_but_never_answers_from_it() {
    let owned = Owned::small(4);
    let r = owned.registry();
    assert!(r.remember(&key(1), &row(1, at(0)), at(30)));
    assert!(matches!(
        r.check(&key(1), &params(60), Request::Counting, at(31)),
        Checked::Miss(_)
    ));
    assert_eq!(r.look(&key(1), 1), Some((at(30), None)));
    assert!(r.remember(&key(1), &row(2, at(5)), at(6)));
    assert_eq!(r.look(&key(1), 2), Some((at(6), None)));
}

#[test]
fn an_unknown_session_id_takes_no_exclusive_lock() {
    let owned = Owned::small(4);
    let taken = Cell::new(0);
    let r = Registry::new(owned.memory(), Counting(&taken));
    let Checked::Miss(ticket) = r.check(&key(1), &params(60), Request::Counting, at(0)) else {
        panic!("it is not there");
    };
    assert_eq!(r.missing(&key(1), ticket), Missing::Unknown);
    assert_eq!(taken.get(), 0);
}
