//! What arrives on a channel that a connection LISTENs to.

use std::time::Duration;

use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, Notification};

/// The next notification, waiting up to `within` for it. `None` where none came.
pub fn next_notification(client: &mut Client, within: Duration) -> Option<Notification> {
    let mut pending = client.notifications();
    let mut arriving = pending.timeout_iter(within);
    arriving
        .next()
        .expect("the connection was lost while waiting for a notification")
}

/// Every notification until none has come for `quiet`.
pub fn notifications(client: &mut Client, quiet: Duration) -> Vec<Notification> {
    std::iter::from_fn(|| next_notification(client, quiet)).collect()
}
