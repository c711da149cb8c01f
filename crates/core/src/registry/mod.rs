//! The live sessions, in memory that all backends share.
//!
//! Plain data and logic: the caller hands in memory, locks, rows and the time. Each operation is a method of [`Registry`].
//!
//! An **entry** is a copy of one session's row, with what only memory knows of that login: newer activity, and the **expired
//! flag**, which is set once a check or the purge has found the session past a limit. Both are in one atomic [`Word`], so
//! that a touch and an expiry cannot overwrite each other.
//!
//! A login has a **version**: a sequence gives a new one to every insert and to every change of clocks, limits or digest,
//! while the row is locked. So of two versions of one session the later writer has the greater one. What an entry knows
//! counts only for a row of the entry's version. A flush of activity to the row keeps the version.
//!
//! # States of an entry
//!
//! | state | how an entry gets there | what a check does |
//! | --- | --- | --- |
//! | verified | a row was loaded, and nothing had changed since the ticket was taken | answers from the entry |
//! | unverified | a transaction that changed the session has ended; or the entry was restored after a restart | reads the row and loads it; activity and expired flag stay if the row has the entry's version |
//! | being invalidated | a transaction that changed the session is about to commit; the entry counts these | answers from the row; records its touch or expiry in the entry if that has the row's version |
//! | placeholder | an invalidation began for a session that had no entry | as above; the next load fills it |
//! | expired | its flag was set, in any of these states | answers `idle_expired` or `absolute_expired` whatever the limits are now, as long as the row has the entry's version |
//! | closed | the transaction that ended the login has committed, or [`Registry::retire`] was called | finds no row, and answers `closed` |
//!
//! # A check
//!
//! 1. [`Registry::check`], shared lock. If the entry is verified, judge it, then touch it, set its flag or leave it: one lock,
//!    one atomic step, no allocation. If the session is being invalidated, go to 4. Otherwise take a [`Ticket`], which
//!    holds the partition's generation.
//! 2. The caller reads the newest committed row.
//! 3. [`Registry::load_if`], exclusive lock. If the generation is still the ticket's, insert the row or refresh the entry.
//!    Start again at 1. If the partition is full, answer from the row. If there is no row, [`Registry::missing`] removes
//!    the entry, and the answer is `closed` or `unknown`.
//! 4. The caller judges the row, with what [`Registry::held`] returns for its version, and records the result by
//!    [`Registry::touch`], [`Registry::touch_by_row`] or [`Registry::set_expired`]. If one of these returns `Over`, the row
//!    is not the newest, or a transaction is about to hand its login's activity on to another version: start again at 1.
//!    So no check gives an answer whose touch or expiry would be lost with a login that is over.
//!
//! After some failed attempts the row answers as in 4, whatever state the entry is in.
//!
//! # A change
//!
//! A transaction goes through three steps for each session it has changed ([`invalidation`]):
//!
//! 1. Just before the commit, [`Registry::begin_invalidation`]: from now on checks read the row.
//! 2. After the commit, before it returns, [`Registry::retire`] for each login that a committed version goes on from (a
//!    rotation, or a change of limits). Nothing gets into a retired login, and the word that it ended with is handed on.
//! 3. [`Registry::end_invalidation`]: the generation goes up, the entry becomes unverified, and takes over what the
//!    transaction's own checks found ([`change`]). After an abort this is the only step.
//!
//! # Why no old row is loaded
//!
//! - A row that was read before a commit: the session is being invalidated from before the commit until after it, and a load
//!   in that time inserts nothing. A later load fails, since the generation has moved, unless its ticket was taken after
//!   the invalidation; then its row was read after the commit.
//! - A row that was read before a flush, with older activity: the entry keeps the newer activity, and when an entry is evicted
//!   whose row was written since it was loaded, the generation goes up.
//! - A check that begins after a commit has returned sees the change: the invalidation had ended by then, so the entry is
//!   unverified or gone, and the check reads the row under a snapshot that sees the commit.
//!
//! # Locks
//!
//! An operation holds the lock of one partition at a time. Under it, nothing runs but code of this module and
//! [`Locks::displaced`].

pub mod change;
mod checks;
mod entry;
mod eviction;
mod expire;
mod handle;
pub mod invalidation;
mod key;
mod locks;
pub mod memory;
mod row;
mod save;
pub mod snapshot;
mod sweep;
mod table;
mod unrecorded;
pub mod word;
mod worklist;

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use checks::{Checked, Held, Loaded, Missing, Ticket, Touched};
pub use entry::{EntryFilter, EntryView};
pub use expire::SetExpired;
pub use handle::Registry;
pub use invalidation::{EntryUpdate, Invalidation, Outcome};
pub use key::Key;
pub use locks::{Displaced, Locks, Lost};
pub use memory::{Layout, Memory, Partition, Slot};
pub use row::Row;
pub use sweep::ScanCursor;
pub use unrecorded::{Unrecorded, UnrecordedLimits};
pub use word::Word;
