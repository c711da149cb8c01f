//! The maintenance worker, step by step.

use super::crowd::Crowd;
use super::world::{Actor, World};
use crate::registry::test_support::key;
use crate::registry::{EntryFilter, EntryView, Key, Row, SetExpired};

/// The worker flushes activity: scan, write and commit, report to the registry.
pub struct Flusher {
    step: u8,
    found: Vec<EntryView>,
    then: Option<Crowd>,
}

impl Flusher {
    pub fn flushing() -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            found: Vec::new(),
            then: None,
        })
    }

    /// What is flushed can be evicted.
    pub fn flushing_and_then(crowd: Crowd) -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            found: Vec::new(),
            then: Some(crowd),
        })
    }
}

impl Actor for Flusher {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            4.. => return self.then.as_mut().is_some_and(|crowd| crowd.step(world)),
            1 => {
                self.found = Vec::with_capacity(8);
                let mut cursor = world.registry.scan(0);
                world
                    .registry
                    .collect(&mut cursor, 1, 2, EntryFilter::Dirty, &mut self.found);
            }
            2 => {
                for view in self.found.iter().filter(|view| view.digest == key(1).digest) {
                    if let Some(row) = &mut world.row
                        && row.version == view.version
                    {
                        row.session.last_activity = row.session.last_activity.max(view.activity);
                    }
                }
            }
            _ => {
                for view in &self.found {
                    let key = Key {
                        digest: view.digest,
                        ..key(1)
                    };
                    let _ = world.registry.flushed(&key, view.version, view.activity);
                }
                return self.then.is_some();
            }
        }
        true
    }
}

/// The worker purges: read the row, set the expired flag, delete the row and commit if it has the same version, report to the
/// registry.
pub struct Purger {
    step: u8,
    row: Option<Row>,
    deletes: bool,
}

impl Purger {
    pub fn purging() -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            row: None,
            deletes: false,
        })
    }
}

impl Actor for Purger {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match (self.step, self.row) {
            (1, _) => self.row = world.row,
            (2, Some(row)) => {
                let result = world
                    .registry
                    .set_expired(&key(1), &row, &world.params, world.now, false);
                self.deletes = matches!(result, SetExpired::Yes(_));
                if self.deletes && world.row.is_some_and(|now| now.version == row.version) {
                    world.expired = true;
                }
            }
            (3, Some(row)) if self.deletes && world.row.is_some_and(|now| now.version == row.version) => {
                world.row = None;
            }
            (4, Some(row)) if self.deletes => {
                world.registry.ended(&key(1), row.version);
                return false;
            }
            (3, Some(_)) => {}
            _ => return false,
        }
        true
    }
}
