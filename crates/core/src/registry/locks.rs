//! The partitions' locks, which the caller provides.

use crate::verdict::{Expiry, Session};

/// One lock for each partition, and a callback for what is lost under it.
pub trait Locks {
    /// Runs `work` under the partition's lock, shared with other readers.
    fn shared<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
    /// As [`Locks::shared`], and passes to `work` whether it had to wait for the lock.
    fn shared_timed<R>(&self, partition: usize, work: impl FnOnce(bool) -> R) -> R {
        self.shared(partition, || work(false))
    }
    /// Runs `work` under the partition's lock, held exclusively.
    fn exclusive<R>(&self, partition: usize, work: impl FnOnce() -> R) -> R;
    /// An entry is about to be removed although its row lacks some of what it knows. Called under the partition's exclusive
    /// lock. When this returns, a lost expiry must be recorded elsewhere.
    fn displaced(&self, displaced: Displaced);
}

/// An entry that makes room for a session of another database, although its row lacks some of what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// The database that the entry belonged to.
    pub database: u32,
    /// What is lost with it.
    pub lost: Lost,
}

/// What a displaced entry knew and its row does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Activity: the session may end early.
    Activity,
    /// The session, as it was, was found expired.
    Expiry(Session, Expiry),
}
