//! Rule 10: no database harms another by means of this extension.
//!
//! Whatever the owner of one database does in it, the sessions, activity and maintenance of the others go on. A database
//! beyond its fair share of the registry loses activity, never expiry, if another needs the room.

mod failing;
mod shares;
mod unreachable;
