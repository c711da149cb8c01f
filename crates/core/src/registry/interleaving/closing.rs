//! Closes and logins against checks, the worker, and evictions.

use super::checker::Checker;
use super::crowd::{Crowd, Intruder, fill_with_dirty};
use super::explorer::Scenario;
use super::transactions::Changer;
use super::worker::Purger;
use super::world::assert_no_activity_from_nowhere;
use crate::registry::test_support::{at, row};

#[test]
fn after_a_close_has_returned_no_check_says_true() {
    for loaded in [false, true] {
        let scenario = Scenario {
            loaded,
            ..Scenario::of("close")
        };
        scenario.explore(
            || vec![Changer::closing(), Checker::checking(100), Checker::checking(101)],
            |_| {},
        );
    }
}

#[test]
fn after_a_close_no_check_says_true_though_entries_are_evicted() {
    let scenario = Scenario {
        slots: 1,
        ..Scenario::of("close under eviction")
    };
    scenario.explore(
        || vec![Changer::closing(), Checker::checking(100), Box::new(Crowd(2))],
        |_| {},
    );
}

#[test]
fn after_a_close_no_check_says_true_though_entries_are_displaced() {
    for changer in [Changer::closing, Changer::logging_in] {
        let scenario = Scenario {
            slots: 8,
            crowd: Some(|world| fill_with_dirty(world, 7)),
            ..Scenario::of("change under displacement")
        };
        scenario.explore(
            || vec![changer(), Checker::checking(100), Box::new(Intruder)],
            |world| assert_no_activity_from_nowhere(world, at(100)),
        );
    }
}

#[test]
fn a_new_login_lives_though_the_worker_ends_the_old_one() {
    for loaded in [false, true] {
        let scenario = Scenario {
            row: Some(row(1, at(0))),
            loaded,
            ..Scenario::of("login during purge")
        };
        scenario.explore(
            || vec![Changer::logging_in(), Purger::purging(), Checker::checking(101)],
            |world| assert_eq!(world.row.map(|row| row.version), Some(2)),
        );
    }
}

#[test]
fn of_two_changes_at_once_the_one_committed_last_counts() {
    Scenario::of("close and roll back").explore(
        || vec![Changer::closing(), Changer::rolling_back(), Checker::checking(101)],
        |_| {},
    );
}
