//! Transactions that change the session, step by step.

use super::world::{Actor, World};
use crate::registry::test_support::{at, key, row};
use crate::registry::{EntryUpdate, Invalidation, Outcome, Row, Word};

/// A transaction that changes the row, and then commits or rolls back.
pub struct Changer {
    change: fn(&mut World),
    outcome: Outcome,
    step: u8,
    invalidation: Option<Invalidation>,
    returned: fn(&mut World),
}

impl Changer {
    pub fn closing() -> Box<dyn Actor> {
        Box::new(Self {
            change: |world| world.row = None,
            outcome: Outcome::Closed,
            step: 0,
            invalidation: None,
            returned: |world| {
                world.closed = true;
                world.login_returned = false;
            },
        })
    }

    pub fn logging_in() -> Box<dyn Actor> {
        Box::new(Self {
            change: |world| {
                world.row = Some(row(2, at(100)));
                world.logged_in = true;
                world.expired = false;
            },
            outcome: Outcome::Committed,
            step: 0,
            invalidation: None,
            returned: |world| {
                world.login_returned = true;
                world.closed = false;
            },
        })
    }

    pub fn rolling_back() -> Box<dyn Actor> {
        Box::new(Self {
            change: |_| {},
            outcome: Outcome::Committed,
            step: 0,
            invalidation: None,
            returned: |_| {},
        })
    }
}

impl Actor for Changer {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            1 => self.invalidation = Some(world.registry.begin_invalidation(&key(1))),
            2 => (self.change)(world),
            _ => {
                world
                    .registry
                    .end_invalidation(&key(1), self.invalidation, self.outcome, EntryUpdate::default());
                (self.returned)(world);
                return false;
            }
        }
        true
    }
}

/// A transaction that gives the session another version, under the same digest or another, and then commits. What others do
/// until then is handed on.
pub struct Mover {
    to: u32,
    step: u8,
    invalidations: Vec<Invalidation>,
    word: Option<Word>,
}

impl Mover {
    pub fn rotating() -> Box<dyn Actor> {
        Self::moving(2)
    }

    pub fn changing_limits() -> Box<dyn Actor> {
        Self::moving(1)
    }

    fn moving(to: u32) -> Box<dyn Actor> {
        Box::new(Self {
            to,
            step: 0,
            invalidations: Vec::new(),
            word: None,
        })
    }
}

impl Actor for Mover {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            1 => self.invalidations.push(world.registry.begin_invalidation(&key(1))),
            2 if self.to == 2 => self.invalidations.push(world.registry.begin_invalidation(&key(2))),
            2 => {}
            3 => {
                // With the activity that the row had when it was changed.
                let moved = world.row.map(|old| Row { version: 2, ..old });
                if self.to == 2 {
                    world.row = None;
                    world.rotated = moved;
                } else {
                    world.row = moved;
                }
            }
            4 => self.word = world.registry.retire(&key(1), 1),
            5 if self.to == 2 => {
                let update = EntryUpdate::default();
                world
                    .registry
                    .end_invalidation(&key(1), Some(self.invalidations[0]), Outcome::Closed, update);
            }
            5 => {}
            _ => {
                let update = EntryUpdate {
                    derived: self.word.map(|word| (2, word)),
                    ..EntryUpdate::default()
                };
                let invalidation = self.invalidations.last().copied();
                world
                    .registry
                    .end_invalidation(&key(self.to), invalidation, Outcome::Committed, update);
                world.closed = self.to == 2;
                return false;
            }
        }
        true
    }
}
