//! A session's life: login, re-login, rotation, close, purge, and rows that are written by hand.

mod by_hand;
mod close;
mod open;
mod purge;
mod re_login;
mod rotate;

use session_timeout_tests::postgres::Client;

use crate::support::{SessionCalls, Stored, new_sid, unique};

/// An open session of a user, half an hour old, idle for a quarter of one, with limits of its own.
fn used_session(app: &mut Client) -> (String, String) {
    let (sid, user) = (new_sid(), unique("user"));
    app.write(
        "SELECT session_timeout.open_session($1, $2, '1 hour', '10 hours')",
        &[&sid, &user],
    );
    app.was_opened_ago(&sid, "30 minutes");
    app.has_been_idle(&sid, "15 minutes");
    (sid, user)
}

/// The row of a session that is open.
#[track_caller]
fn row(app: &mut Client, sid: &str) -> Stored {
    app.stored(sid).expect("the session has a row")
}
