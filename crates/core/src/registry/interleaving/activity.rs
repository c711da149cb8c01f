//! No activity is lost, moved backwards, or made up.

use super::checker::Checker;
use super::crowd::{Crowd, Intruder, fill_with_dirty};
use super::explorer::Scenario;
use super::transactions::{Changer, Mover};
use super::worker::Flusher;
use super::world::{Actor, World, assert_no_activity_from_nowhere};
use crate::registry::test_support::{at, key, row};
use crate::time::Timestamp;
use crate::verdict::Request;

#[test]
fn a_rollback_loses_neither_an_expiry_nor_a_touch() {
    let scenario = Scenario {
        row: Some(row(1, at(60))),
        ..Scenario::of("rollback")
    };
    scenario.explore(
        || vec![Changer::rolling_back(), Checker::checking(100), Checker::checking(130)],
        |world| {
            let known = world.registry.look(&key(1), 1);
            if !world.expired
                && let (Some(reported), Some((activity, _))) = (world.reported_active, known)
            {
                let has_row = world.row.is_some_and(|row| row.session.last_activity >= reported);
                assert!(activity >= reported || has_row);
            }
        },
    );
}

#[test]
fn a_flush_writes_no_older_activity_and_to_no_other_login() {
    let scenario = Scenario {
        slots: 2,
        ..Scenario::of("flush")
    };
    scenario.explore(
        || vec![Flusher::flushing(), Changer::logging_in(), Checker::checking(110)],
        |world| {
            let row = world.row.expect("logged in again");
            assert_eq!(row.version, 2);
            assert!(row.session.last_activity == at(100) || row.session.last_activity == at(110));
        },
    );
}

/// The activity that is known in the end of the session, or of the one that it was rotated to.
fn activity_of(world: &World, n: u32) -> Timestamp {
    let row = world.row_of(n).expect("it was moved");
    let known = world.registry.look(&key(n), row.version);
    known.map_or(row.session.last_activity, |(activity, _)| {
        activity.max(row.session.last_activity)
    })
}

#[test]
fn what_checks_found_while_a_session_moved_is_handed_on() {
    type Move = fn() -> Box<dyn Actor>;
    for (to, mover) in [(1, Mover::changing_limits as Move), (2, Mover::rotating)] {
        for loaded in [false, true] {
            let scenario = Scenario {
                row: Some(row(1, at(50))),
                loaded,
                ..Scenario::of("activity moves")
            };
            scenario.explore(
                || vec![mover(), Checker::checking(100)],
                |world| {
                    if let Some(reported) = world.reported_active {
                        assert!(activity_of(world, to) >= reported, "activity was left behind");
                    }
                },
            );
            let scenario = Scenario {
                row: Some(row(1, at(30))),
                loaded,
                ..Scenario::of("expiry moves")
            };
            scenario.explore(
                || vec![mover(), Checker::checking(100)],
                |world| {
                    if world.expired {
                        let row = world.row_of(to).expect("it was moved");
                        let known = world.registry.look(&key(to), row.version);
                        let is_expired = known.is_some_and(|(_, expiry)| expiry.is_some());
                        assert!(is_expired, "the expired flag was left behind");
                    }
                },
            );
        }
    }
}

#[test]
fn a_row_read_before_a_flush_moves_no_activity_backwards() {
    let scenario = Scenario {
        row: Some(row(1, at(50))),
        loaded: false,
        slots: 1,
        ..Scenario::of("flush, evict, load")
    };
    scenario.explore(
        || {
            vec![
                Checker::asking(1, 100, Request::Look),
                Checker::checking(100),
                Flusher::flushing_and_then(Crowd(1)),
            ]
        },
        |world| {
            let row = world.row.expect("it is open");
            let known = world.registry.look(&key(1), 1);
            assert!(known.is_none_or(|(activity, _)| activity >= row.session.last_activity));
        },
    );
}

#[test]
fn displaced_activity_can_only_end_a_session_early() {
    let scenario = Scenario {
        row: Some(row(1, at(50))),
        slots: 8,
        crowd: Some(|world| {
            world.registry.check(&key(1), &world.params, Request::Counting, at(55));
            fill_with_dirty(world, 7);
        }),
        ..Scenario::of("displace, flush, load")
    };
    scenario.explore(
        || vec![Box::new(Intruder), Flusher::flushing(), Checker::checking(100)],
        |world| assert_no_activity_from_nowhere(world, at(55)),
    );
}
