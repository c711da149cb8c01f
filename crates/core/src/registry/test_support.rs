//! What the tests of the registry share: memory, locks, sessions.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use chrono::TimeDelta;

use super::checks::{Checked, Loaded, Ticket};
use super::entry::EntryView;
use super::handle::Registry;
use super::key::Key;
use super::locks::{Displaced, Locks};
use super::memory::{Layout, Memory, Partition, Slot};
use super::row::Row;
use crate::digest::Digest;
use crate::params::Params;
use crate::time::Timestamp;
use crate::verdict::{Judgement, Request, Session};

/// Memory that lives as long as a test.
pub struct Owned {
    partitions: Vec<Partition>,
    slots: Vec<Slot>,
    buckets: Vec<AtomicU32>,
    work: Vec<AtomicU64>,
    tags: Vec<AtomicU8>,
}

impl Owned {
    pub fn new(layout: Layout) -> Self {
        let owned = Self {
            partitions: (0..layout.partitions).map(|_| Partition::default()).collect(),
            slots: (0..layout.slots()).map(|_| Slot::default()).collect(),
            buckets: (0..layout.slots()).map(|_| AtomicU32::new(0)).collect(),
            work: (0..layout.work_words()).map(|_| AtomicU64::new(0)).collect(),
            tags: (0..layout.slots()).map(|_| AtomicU8::new(0)).collect(),
        };
        owned.memory().format();
        owned
    }

    /// Of one partition.
    pub fn small(slots: usize) -> Self {
        Self::new(Layout {
            partitions: 1,
            slots_per_partition: slots,
        })
    }

    pub fn memory(&self) -> Memory<'_> {
        Memory {
            partitions: &self.partitions,
            slots: &self.slots,
            buckets: &self.buckets,
            work: &self.work,
            tags: &self.tags,
        }
    }

    pub fn registry(&self) -> Registry<'_, NoLocks> {
        Registry::new(self.memory(), NoLocks)
    }
}

/// For one thread.
#[derive(Clone, Copy, Debug)]
pub struct NoLocks;

impl Locks for NoLocks {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn displaced(&self, _: Displaced) {}
}

/// All entries of a database, in the order of their slots.
pub fn entries(registry: &Registry<impl Locks>, database: u32) -> Vec<EntryView> {
    (0..registry.table.partitions())
        .flat_map(|partition| registry.table.entries(partition))
        .filter(|entry| entry.belongs_to(database, None))
        .map(|entry| entry.view())
        .collect()
}

pub fn key(n: u32) -> Key {
    Key {
        database: 1,
        table: 2,
        digest: Digest::of(&n.to_le_bytes()),
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

pub fn row(version: i64, activity: Timestamp) -> Row {
    let session = Session {
        opened_at: at(0),
        last_activity: activity,
        idle_delay: None,
        absolute_delay: None,
    };
    Row { session, version }
}

pub fn params(delay: i64) -> Params {
    Params {
        delay: (delay > 0).then(|| TimeDelta::seconds(delay)),
        ..Params::default()
    }
}

pub fn ticket(registry: &Registry<NoLocks>, key: &Key) -> Ticket {
    match registry.check(key, &params(60), Request::Look, at(0)) {
        Checked::Miss(ticket) => ticket,
        other => panic!("expected a miss: {other:?}"),
    }
}

pub fn load(registry: &Registry<NoLocks>, key: &Key, row: &Row) -> Loaded {
    registry.load(key, ticket(registry, key), row)
}

pub fn judgement(checked: Checked) -> Judgement {
    match checked {
        Checked::Answer { judgement, .. } => judgement,
        other => panic!("expected an answer: {other:?}"),
    }
}

pub fn is_valid(checked: Checked) -> bool {
    matches!(judgement(checked), Judgement::Valid { .. })
}
