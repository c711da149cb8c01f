//! What a round is about: how often each kind of work comes, so that rare compounds come often enough in some round.

use super::time::{Limit, SECOND};

/// What may happen to the whole server, or to a database, while connections are at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// DROP DATABASE and CREATE DATABASE with the same OID.
    Database,
    /// A clean shutdown and a start.
    Restart,
    /// A clean shutdown, a start that fails, and one that does not.
    FailedStart,
    /// SIGKILL of a backend.
    Crash,
    /// `pg_terminate_backend` of a connection.
    Terminate,
}

/// A round's weights, out of a hundred where they are single.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    pub name: &'static str,
    /// Units of work: a look; a request of several; a change; a parameter; a passed limit; a new extension; many at once.
    pub units: [u32; 7],
    /// Delays that are set.
    pub delays: &'static [Limit],
    /// Of a hundred requests, those that wait in their transaction for a new extension.
    pub waiting: u32,
    /// DELETE or TRUNCATE of everything, in a change.
    pub whole_table: u32,
    pub strikes: &'static [Strike],
    /// Between strikes, in statements.
    pub every: u64,
}

const SHORT: &[Limit] = &[
    Some(SECOND / 2),
    Some(SECOND),
    Some(2 * SECOND),
    Some(3 * SECOND),
    Some(5 * SECOND),
    Some(30 * SECOND),
    Some(7200 * SECOND),
];
const LONG: &[Limit] = &[Some(30 * SECOND), Some(600 * SECOND), Some(7200 * SECOND), None];

/// In this order, over and over.
pub const THEMES: [Theme; 7] = [
    Theme {
        name: "logins",
        units: [45, 15, 34, 1, 3, 0, 2],
        delays: LONG,
        waiting: 0,
        whole_table: 1,
        strikes: &[Strike::Terminate],
        every: 1000,
    },
    Theme {
        name: "limits",
        units: [35, 15, 15, 10, 24, 0, 1],
        delays: SHORT,
        waiting: 0,
        whole_table: 0,
        strikes: &[],
        every: 1000,
    },
    Theme {
        name: "extension",
        units: [36, 24, 14, 2, 6, 14, 4],
        delays: SHORT,
        waiting: 50,
        whole_table: 3,
        strikes: &[Strike::Terminate],
        every: 700,
    },
    Theme {
        name: "databases",
        units: [50, 15, 25, 3, 5, 0, 2],
        delays: LONG,
        waiting: 0,
        whole_table: 1,
        strikes: &[Strike::Database],
        every: 250,
    },
    Theme {
        name: "restarts",
        units: [45, 15, 25, 5, 8, 0, 2],
        delays: SHORT,
        waiting: 0,
        whole_table: 1,
        strikes: &[Strike::Restart, Strike::FailedStart],
        every: 600,
    },
    Theme {
        name: "crashes",
        units: [45, 15, 25, 5, 8, 0, 2],
        delays: LONG,
        waiting: 0,
        whole_table: 1,
        strikes: &[Strike::Crash, Strike::Terminate],
        every: 600,
    },
    Theme {
        name: "everything",
        units: [40, 20, 20, 5, 10, 3, 2],
        delays: SHORT,
        waiting: 10,
        whole_table: 2,
        strikes: &[
            Strike::Database,
            Strike::Restart,
            Strike::FailedStart,
            Strike::Crash,
            Strike::Terminate,
        ],
        every: 400,
    },
];
