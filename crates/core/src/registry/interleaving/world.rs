//! What the actors share, and what an actor is.

use std::cell::Cell;

use crate::params::Params;
use crate::registry::test_support::key;
use crate::registry::{Displaced, Locks, Lost, Registry, Row, Unrecorded};
use crate::time::Timestamp;

/// No locks, for one thread; and the unrecorded expiries of database 1.
#[derive(Clone, Copy)]
pub struct Surroundings<'m> {
    pub unrecorded: &'m Unrecorded,
    /// The latest time that anybody has read from the clock.
    pub clock: &'m Cell<Timestamp>,
}

impl Locks for Surroundings<'_> {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn displaced(&self, displaced: Displaced) {
        if let (1, Lost::Expiry(session, expiry)) = (displaced.database, displaced.lost) {
            self.unrecorded.add(&session, expiry, self.clock.get());
        }
    }
}

/// What all actors share: the committed row, and which answers have been given.
pub struct World<'m> {
    pub registry: Registry<'m, Surroundings<'m>>,
    pub around: Surroundings<'m>,
    /// The committed row of the session, under the digest of key 1.
    pub row: Option<Row>,
    /// The committed row after a rotation, under the digest of key 2.
    pub rotated: Option<Row>,
    pub params: Params,
    pub now: Timestamp,
    /// A close has returned to its caller, and there has been no login since.
    pub closed: bool,
    /// A check has answered that it is expired, and there has been no login since.
    pub expired: bool,
    /// The newest request to which a check answered true.
    pub reported_active: Option<Timestamp>,
    /// A login has been committed.
    pub logged_in: bool,
    /// A login has returned to its caller.
    pub login_returned: bool,
    /// Entries may be displaced by another database.
    pub is_crowded: bool,
}

impl World<'_> {
    pub fn row_of(&self, n: u32) -> Option<Row> {
        if n == 1 { self.row } else { self.rotated }
    }
}

/// Uses the registry, step by step.
pub trait Actor {
    /// Does the next step. Returns whether there are more.
    fn step(&mut self, world: &mut World) -> bool;
}

/// What is known of key 1's session is its row's activity, or that of a request to which a check answered true.
pub fn assert_no_activity_from_nowhere(world: &World, start: Timestamp) {
    let Some(row) = world.row else { return };
    let newest = start.max(world.reported_active.unwrap_or(start));
    assert!(row.session.last_activity <= newest || row.version == 2);
    if let Some((activity, _)) = world.registry.look(&key(1), row.version) {
        assert!(activity <= newest || row.version == 2, "activity that nobody has seen");
    }
}
