//! What the SQL functions do with a session.
//!
//! Every function works on the newest committed tuple of a row, follows concurrent changes, and treats a deleted row as a
//! session that is not open. If the library is preloaded, the registry answers checks, and what it knows of a session
//! (newer activity, that it is expired) counts wherever its row is judged.
//!
//! | file | what |
//! | --- | --- |
//! | `context` | what a function needs of its surroundings, collected once |
//! | `known` | what row, registry and transaction together know of a session |
//! | `lock` | finding the newest tuple of a session and locking it |
//! | `expiry` | recording that a session is expired, so that it stays so |
//! | `end` | ending a session: row, event, notice, note |
//! | `check`, `answer` | checks, by `preloaded` or `rows_only`; what they are asked and answer |
//! | `lifecycle` | open, close, revoke, rotate |
//! | `flush`, `purge`, `clock_skew` | what the worker does, and the functions that do it by hand |

mod answer;
pub mod check;
pub mod clock_skew;
pub mod context;
pub mod end;
mod expiry;
pub mod flush;
pub mod known;
pub mod lifecycle;
pub mod lock;
mod preloaded;
pub mod purge;
mod rows_only;
