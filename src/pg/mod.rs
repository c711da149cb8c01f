//! All that calls PostgreSQL in general. Nothing here knows a session or a table of this extension.
//!
//! | file | what it wraps |
//! | --- | --- |
//! | `fcall` | a call of a SQL function: arguments, result, errors without the caller's statement in the log |
//! | `datum` | values of `text`, `bytea`, `timestamptz`, `interval` and row types |
//! | `relation`, `shape`, `slot`, `snapshot` | open tables, what their columns must be, tuples, snapshots |
//! | `scan`, `modification` | reading and writing tuples without SPI |
//! | `sequence`, `lock`, `notify`, `transaction` | sequences, heavyweight locks, NOTIFY, the current transaction |
//! | `backend_local`, `cached`, `memory` | static values of a process, values kept until an invalidation, memory contexts |
//! | `clock`, `nothrow`, `background` | the wall clock, functions that raise no ERROR, background workers and signals |
//! | `compat` | every difference between major versions of PostgreSQL |
//!
//! # Rows without SPI
//!
//! A caller of our functions needs EXECUTE on a function and no privilege on a table, and must see the newest commit
//! instead of its snapshot. So tuples are read and written through the table access method:
//!
//! - **Reading** takes a snapshot of this moment ([`snapshot::LatestSnapshot`]) and tests every tuple that the index leads
//!   to against it ([`scan`]). The scan itself runs with `SnapshotAny`, for which SERIALIZABLE takes no predicate locks.
//! - **Writing** finds a tuple by its key and locks it. If another transaction changed the row meanwhile, the key is looked
//!   up again with a new snapshot, in every isolation level ([`modification`]). Nothing here raises 40001 because of what
//!   another transaction did to a row.
//!
//! No trigger fires for these writes. Functions do what the triggers do for hand-written DML.
//!
//! # Errors
//!
//! If an ERROR unwinds, no `Drop` here releases anything: PostgreSQL's resource owner does.

pub mod backend_local;
pub mod background;
pub mod cached;
pub mod clock;
pub mod compat;
pub mod datum;
pub mod fcall;
pub mod lock;
pub mod memory;
pub mod modification;
pub mod nothrow;
pub mod notify;
pub mod relation;
pub mod scan;
pub mod sequence;
pub mod shape;
pub mod slot;
pub mod snapshot;
pub mod transaction;
