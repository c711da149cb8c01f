//! Found expired is final.

use super::checker::Checker;
use super::crowd::{Intruder, Raiser, fill_with_dirty};
use super::explorer::Scenario;
use super::worker::Purger;
use super::world::World;
use crate::registry::test_support::{at, key, params, row};
use crate::registry::{Checked, SetExpired};
use crate::verdict::{Expiry, Judgement, Request};

#[test]
fn a_session_that_was_found_expired_is_let_in_by_no_check() {
    for loaded in [false, true] {
        let scenario = Scenario {
            row: Some(row(1, at(40))),
            loaded,
            ..Scenario::of("expire")
        };
        scenario.explore(
            || vec![Checker::checking(100), Checker::checking(101), Purger::purging()],
            |_| {},
        );
    }
}

/// If any check has answered that it is expired, the next one does not answer that it is valid.
fn assert_final(world: &World) {
    let next = world.registry.check(&key(1), &world.params, Request::Look, at(102));
    let is_valid = matches!(
        next,
        Checked::Answer {
            judgement: Judgement::Valid { .. },
            ..
        }
    );
    assert!(!world.expired || !is_valid, "an entry says that it is valid");
}

/// The expired entry is displaced by another database, and the delay is raised.
#[test]
fn an_expired_session_stays_so_though_its_entry_is_displaced() {
    let scenario = Scenario {
        row: Some(row(1, at(30))),
        slots: 8,
        crowd: Some(|world| fill_with_dirty(world, 7)),
        ..Scenario::of("displace an expired entry")
    };
    scenario.explore(
        || {
            vec![
                Checker::checking(100),
                Checker::checking(101),
                Box::new(Intruder),
                Box::new(Raiser),
            ]
        },
        assert_final,
    );
}

/// There is no room for an expired entry, until others are flushed; and the delay is raised.
#[test]
fn an_expired_session_stays_so_though_there_was_no_room_for_its_flag() {
    let scenario = Scenario {
        row: Some(row(1, at(30))),
        loaded: false,
        slots: 17,
        crowd: Some(|world| {
            fill_with_dirty(world, 16);
            let result = world
                .registry
                .set_expired(&key(400), &row(1, at(0)), &params(60), at(100), false);
            assert_eq!(result, SetExpired::Yes(Expiry::Idle));
        }),
        ..Scenario::of("no room for the expired flag")
    };
    scenario.explore(
        || vec![Checker::checking(100), Checker::checking(101), Box::new(Raiser)],
        assert_final,
    );
}
