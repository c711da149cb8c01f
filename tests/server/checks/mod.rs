//! What a check answers, and what it leaves behind.

mod expiring;
mod limits;
mod peeking;
mod sids;
mod touching;
mod unknown;
mod verdicts;

/// A url of the default list of ignored ones.
const IGNORED: &str = "/longpolling/poll";
