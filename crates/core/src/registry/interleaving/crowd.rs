//! Other sessions, which need room.

use super::world::{Actor, World};
use crate::registry::test_support::{at, key, params, row};
use crate::registry::{Checked, Key, Loaded};
use crate::verdict::Request;

/// Fills the registry with other sessions, so that entries are evicted.
pub struct Crowd(pub u32);

impl Actor for Crowd {
    fn step(&mut self, world: &mut World) -> bool {
        let other = key(100 + self.0);
        if let Checked::Miss(ticket) = world.registry.check(&other, &world.params, Request::Look, world.now) {
            world.registry.load(&other, ticket, &row(1, world.now));
        }
        self.0 -= 1;
        self.0 > 0
    }
}

/// A session of another database needs room.
pub struct Intruder;

impl Actor for Intruder {
    fn step(&mut self, world: &mut World) -> bool {
        let other = Key {
            database: 7,
            ..key(200)
        };
        if let Checked::Miss(ticket) = world.registry.check(&other, &world.params, Request::Look, world.now) {
            assert_eq!(world.registry.load(&other, ticket, &row(1, world.now)), Loaded::Ready);
        }
        world
            .registry
            .check(&other, &world.params, Request::Counting, world.now);
        false
    }
}

/// An administrator raises the delay, and one dirty session is flushed, so that there is room.
pub struct Raiser;

impl Actor for Raiser {
    fn step(&mut self, world: &mut World) -> bool {
        world.params = params(1000);
        let _ = world.registry.flushed(&key(300), 1, world.now);
        false
    }
}

/// Adds dirty sessions of the same database.
pub fn fill_with_dirty(world: &World, sessions: u32) {
    for n in 300..300 + sessions {
        let Checked::Miss(ticket) = world.registry.check(&key(n), &world.params, Request::Look, at(0)) else {
            panic!("it is not there yet");
        };
        assert_eq!(world.registry.load(&key(n), ticket, &row(1, at(0))), Loaded::Ready);
        world.registry.check(&key(n), &params(0), Request::Counting, world.now);
    }
}
