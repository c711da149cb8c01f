//! The worker has written or deleted the row since the caller's snapshot.

use session_timeout_tests::postgres::Client;

use crate::support::preloaded::{self, QUICK, QUIET};
use crate::support::{
    SNAPSHOT_LEVELS, SessionCalls, begin, open_expired, outcome, unique, wait_until_flushed, wait_until_gone,
};

/// What a caller does with a session whose row the worker has written or deleted since the caller's snapshot, and
/// whether the session was there.
fn end_or_reopen(client: &mut Client, call: &str, sid: &str) -> Result<String, String> {
    let sql = match call {
        "close" => "SELECT session_timeout.close_session($1)::text",
        "rotate" => "SELECT session_timeout.rotate_session($1, $1 || '-new')::text",
        _ => "SELECT session_timeout.open_session($1)::text",
    };
    let answer = outcome(client.query_one(sql, &[&sid]).map(|row| row.get::<_, String>(0)))?;
    outcome(client.batch_execute("COMMIT"))?;
    Ok(answer)
}

#[test]
fn a_flush_after_the_snapshot_fails_no_close_rotation_or_login() {
    let database = preloaded::database("flush_conflict", &QUICK);
    let mut client = database.connect();
    for level in SNAPSHOT_LEVELS {
        let callers = [("close", "true"), ("rotate", "true"), ("open", "")].map(|(call, answer)| {
            let (sid, mut caller) = (unique(call), database.connect());
            client.open(&sid);
            begin(&mut caller, level);
            caller.stored(&sid);
            (call, answer, sid, caller)
        });
        for (_, _, sid, _) in &callers {
            let touched = client.verdict(sid).last_activity.expect("an activity");
            wait_until_flushed(&mut client, sid, touched);
        }
        for (call, answer, sid, mut caller) in callers {
            let found = end_or_reopen(&mut caller, call, &sid);
            assert_eq!(found, Ok(answer.to_owned()), "{call}, {level}");
            assert_eq!(client.check(&sid), call == "open", "{call}, {level}");
        }
    }
}

#[test]
fn a_purge_after_the_snapshot_fails_no_close_rotation_or_login() {
    let database = preloaded::database("purge_conflict", &QUIET);
    let mut client = database.connect();
    for level in SNAPSHOT_LEVELS {
        let callers = [("close", "false"), ("rotate", "false"), ("open", "")].map(|(call, answer)| {
            let (sid, mut caller) = (unique(call), database.connect());
            open_expired(&mut client, &sid);
            begin(&mut caller, level);
            caller.stored(&sid);
            (call, answer, sid, caller)
        });
        for (_, _, sid, _) in &callers {
            assert!(!client.check(sid));
            wait_until_gone(&mut client, sid);
        }
        for (call, answer, sid, mut caller) in callers {
            let found = end_or_reopen(&mut caller, call, &sid);
            assert_eq!(found, Ok(answer.to_owned()), "{call}, {level}");
            assert_eq!(client.check(&sid), call == "open", "{call}, {level}");
        }
    }
}
