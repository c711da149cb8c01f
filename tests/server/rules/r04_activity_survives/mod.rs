//! Rule 4: activity only moves forward, and survives.
//!
//! A rollback does not lose it. A clean restart loses none, whatever starts fail in between. A crash loses at most one flush
//! interval, and a failover what was not replicated besides.

mod crash;
mod during_changes;
mod flush;
mod other_starts;
mod restart;
mod rollback;
mod snapshot_file;
mod standby;
