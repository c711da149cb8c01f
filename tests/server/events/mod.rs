//! Events and notices: what is recorded and reported of a session that ended.

mod notices;
mod recorded;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::serde_json::Value;

use crate::support::{SessionCalls, heard, heard_json, listener, new_sid, own_database, unique};

/// Opens a session for a user and has it end in one of the ways there are.
struct Ending {
    kind: &'static str,
    how: &'static str,
    end: fn(&mut Client, sid: &str, user: &str),
}

const ENDINGS: [Ending; 9] = [
    Ending {
        kind: "idle_expired",
        how: "a check finds it idle",
        end: |app, sid, _| {
            app.has_been_idle(sid, "3 hours");
            app.check(sid);
        },
    },
    Ending {
        kind: "absolute_expired",
        how: "a check finds it too old",
        end: |app, sid, _| {
            app.open_limited(sid, None, Some("1 hour"));
            app.was_opened_ago(sid, "2 hours");
            app.check(sid);
        },
    },
    Ending {
        kind: "closed",
        how: "it is closed",
        end: |app, sid, _| assert!(app.close_sid(sid)),
    },
    Ending {
        kind: "closed",
        how: "it is closed past its deadline",
        end: |app, sid, _| {
            app.has_been_idle(sid, "3 hours");
            app.close_sid(sid);
        },
    },
    Ending {
        kind: "closed",
        how: "its row is deleted by hand",
        end: |app, sid, _| {
            let sql = "DELETE FROM session_timeout.session WHERE digest = session_timeout.session_digest($1)";
            app.write(sql, &[&sid]);
        },
    },
    Ending {
        kind: "closed",
        how: "the table is truncated",
        end: |app, _, _| app.run("TRUNCATE session_timeout.session"),
    },
    Ending {
        kind: "revoked",
        how: "its user's sessions are closed",
        end: |app, _, user| assert_eq!(app.close_user(user), 1),
    },
    Ending {
        kind: "idle_expired",
        how: "it is purged",
        end: |app, sid, _| {
            app.has_been_idle(sid, "3 hours");
            app.purge();
        },
    },
    Ending {
        kind: "idle_expired",
        how: "it is opened again past its deadline",
        end: |app, sid, _| {
            app.has_been_idle(sid, "3 hours");
            app.open(sid);
        },
    },
];

/// Each way for a session to end, in one database: the ways, the sid and what came of it.
fn every_ending() -> Vec<(&'static Ending, String, Vec<Value>, Vec<String>)> {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    let mut results = Vec::new();
    for ending in &ENDINGS {
        app.run("TRUNCATE session_timeout.session");
        let (sid, user) = (new_sid(), unique("user"));
        app.open_as(&sid, &user);
        heard(&mut listener, &database);
        (ending.end)(&mut app, &sid, &user);
        let notices = heard_json(&mut listener, &database);
        let events = app.events(&sid).iter().map(|event| event.kind.clone()).collect();
        results.push((ending, sid, notices, events));
    }
    results
}
