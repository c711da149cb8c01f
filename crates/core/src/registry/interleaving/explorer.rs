//! Runs every interleaving of some actors.

use std::cell::Cell;

use super::world::{Actor, Surroundings, World};
use crate::registry::test_support::{Owned, at, key, params, row};
use crate::registry::{Checked, Layout, Registry, Row, Unrecorded};
use crate::verdict::Request;

/// What the actors begin with.
pub struct Scenario {
    pub name: &'static str,
    /// The committed row.
    pub row: Option<Row>,
    /// Whether it is loaded.
    pub loaded: bool,
    /// Slots of the registry.
    pub slots: usize,
    /// Adds other sessions, some of which may be displaced.
    pub crowd: Option<fn(&World)>,
}

impl Scenario {
    /// A session that has just been used, without others.
    pub fn of(name: &'static str) -> Self {
        Self {
            name,
            row: Some(row(1, at(100))),
            loaded: true,
            slots: 4,
            crowd: None,
        }
    }

    /// Runs every interleaving of the actors, each in a world of its own, and then `finally`.
    pub fn explore(&self, actors: impl Fn() -> Vec<Box<dyn Actor>>, finally: impl Fn(&World)) {
        let name = self.name;
        let mut choices: Vec<(usize, usize)> = Vec::new();
        let mut runs = 0_u64;
        loop {
            let owned = Owned::new(Layout {
                partitions: 1,
                slots_per_partition: self.slots,
            });
            let (unrecorded, clock) = (Unrecorded::default(), Cell::new(at(0)));
            let around = Surroundings {
                unrecorded: &unrecorded,
                clock: &clock,
            };
            let mut world = World {
                registry: Registry::new(owned.memory(), around),
                around,
                row: self.row,
                rotated: None,
                params: params(60),
                now: at(100),
                closed: false,
                expired: false,
                reported_active: None,
                logged_in: false,
                login_returned: false,
                is_crowded: self.crowd.is_some(),
            };
            if let (true, Some(row)) = (self.loaded, self.row)
                && let Checked::Miss(ticket) = world.registry.check(&key(1), &world.params, Request::Look, at(0))
            {
                world.registry.load(&key(1), ticket, &row);
            }
            if let Some(crowd) = self.crowd {
                crowd(&world);
            }
            let mut waiting = actors();
            let mut depth = 0;
            while !waiting.is_empty() {
                if depth == choices.len() {
                    choices.push((0, waiting.len()));
                }
                assert!(depth < 200, "{name}: an actor does not come to an end");
                let chosen = choices[depth].0;
                depth += 1;
                if !waiting[chosen].step(&mut world) {
                    drop(waiting.remove(chosen));
                }
            }
            finally(&world);
            runs += 1;
            // The next order: the last choice that has an alternative.
            choices.truncate(depth);
            while let Some((chosen, of)) = choices.pop() {
                if chosen + 1 < of {
                    choices.push((chosen + 1, of));
                    break;
                }
            }
            if choices.is_empty() {
                break;
            }
            assert!(runs < 3_000_000, "{name}: too many interleavings");
        }
        assert!(runs > 10, "{name}: {runs} interleavings explore nothing");
    }
}
