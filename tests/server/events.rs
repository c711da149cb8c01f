//! What is told of a session that ended, and what the views show of those that live.

use std::collections::{BTreeMap, BTreeSet};

use session_timeout_tests::chrono::{DateTime, TimeDelta, Utc};
use session_timeout_tests::param;
use session_timeout_tests::postgres::Client;
use session_timeout_tests::serde_json::{Value, json};

use crate::support::{
    SessionCalls, app, assert_just_now, common, heard, heard_json, hex_digest, listener, new_sid, own_database, unique,
};

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

// ---- Events ----------------------------------------------------------------------------------------------------------

#[test]
fn an_event_of_a_clock_that_was_ahead_keeps_no_old_one() {
    let database = own_database();
    let mut admin = database.connect();
    admin.run(
        "INSERT INTO session_timeout.session_event (at, digest, kind, last_activity) \
         SELECT now() + later, sha256(later::text::bytea), 'closed', now() \
         FROM unnest('{10 years, -60 days, -1 day}'::interval[]) AS later",
    );
    admin.purge();
    let left = admin
        .query("SELECT at FROM session_timeout.session_event ORDER BY id", &[])
        .expect("events");
    assert_eq!(left.len(), 2);
    assert_just_now(Some(left[0].get(0)));
}

#[test]
fn every_session_that_ends_leaves_one_event_that_says_why() {
    for (ending, _, _, events) in every_ending() {
        assert_eq!(events, [ending.kind], "{}", ending.how);
    }
}

#[test]
fn an_event_says_when_the_session_ended() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_just_now(app.events(&sid).first().map(|event| event.at));
}

#[test]
fn an_event_says_when_the_session_ended_by_the_wall_clock() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN; SELECT pg_sleep(0.05)");
    app.open(&sid);
    app.close_sid(&sid);
    let began: DateTime<Utc> = app.value("SELECT now()", &[]);
    let at = app.events(&sid)[0].at;
    assert!(
        at - TimeDelta::milliseconds(50) >= began,
        "{at} is the time of the call, and {began} of BEGIN"
    );
}

#[test]
fn an_event_says_whose_session_it_was() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.close_sid(&sid);
    assert_eq!(app.events(&sid)[0].user_name.as_deref(), Some("somebody"));
}

#[test]
fn an_event_says_when_the_session_was_last_active() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let row = app.stored(&sid).expect("a row");
    app.check(&sid);
    assert_eq!(app.events(&sid)[0].last_activity, row.last_activity);
}

#[test]
fn a_session_found_expired_twice_leaves_one_event() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    app.check(&sid);
    assert_eq!(app.event_kinds(&sid), ["idle_expired"]);
}

#[test]
fn a_session_that_ends_again_leaves_another_event() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_eq!(app.event_kinds(&sid), ["closed", "idle_expired"]);
}

#[test]
fn truncate_leaves_an_event_for_every_session() {
    let database = own_database();
    let (mut app, sids) = (database.connect(), [new_sid(), new_sid(), new_sid()]);
    for sid in &sids {
        app.open(sid);
    }
    app.run("TRUNCATE session_timeout.session");
    assert_eq!(sids.map(|sid| app.events(&sid).len()), [1, 1, 1]);
}

// ---- Notices ---------------------------------------------------------------------------------------------------------

#[test]
fn every_session_that_ends_is_told_once_on_the_channel() {
    for (ending, sid, notices, _) in every_ending() {
        let told: Vec<(&Value, &Value)> = notices
            .iter()
            .map(|notice| (&notice["kind"], &notice["digests"]))
            .collect();
        assert_eq!(
            told,
            [(&json!(ending.kind), &json!([hex_digest(&sid)]))],
            "{}",
            ending.how
        );
    }
}

#[test]
fn a_notice_is_json_of_kind_events_and_digests() {
    let (mut app, mut listener, sid) = (app(), listener(common()), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    let id = app.events(&sid)[0].id;
    let expected = json!({"kind": "closed", "events": [id, id], "digests": [hex_digest(&sid)]});
    let notices = heard_json(&mut listener, common());
    assert!(notices.contains(&expected), "{notices:?}");
}

/// The notices of closing 300 sessions of one user at once, and the digests of the sessions.
fn a_large_batch() -> (Vec<String>, BTreeMap<String, i64>) {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    let open = "SELECT count(session_timeout.open_session('sid ' || n, 'somebody')) FROM generate_series(1, 300) AS n";
    app.run(open);
    assert_eq!(app.close_user("somebody"), 300);
    let events = app
        .query(
            "SELECT encode(digest, 'hex'), id FROM session_timeout.session_event",
            &[],
        )
        .expect("the events");
    let events = events.iter().map(|row| (row.get(0), row.get(1))).collect();
    (heard(&mut listener, &database), events)
}

fn parsed(notices: &[String]) -> Vec<Value> {
    let parse = |notice: &String| session_timeout_tests::serde_json::from_str(notice).expect("JSON");
    notices.iter().map(parse).collect()
}

fn digests(notice: &Value) -> Vec<String> {
    let hex = |digest: &Value| digest.as_str().expect("text").to_owned();
    notice["digests"].as_array().expect("a list").iter().map(hex).collect()
}

#[test]
fn a_large_batch_is_split() {
    let (notices, _) = a_large_batch();
    assert!(notices.len() > 1, "{}", notices.len());
}

#[test]
fn in_a_large_batch_each_digest_stands_in_one_notice() {
    let (notices, events) = a_large_batch();
    let told: Vec<String> = parsed(&notices).iter().flat_map(digests).collect();
    assert_eq!(told.len(), 300);
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), events.into_keys().collect());
}

#[test]
fn each_notice_of_a_large_batch_names_the_first_and_last_event_of_its_own_digests() {
    let (notices, events) = a_large_batch();
    for notice in parsed(&notices) {
        let ids: Vec<i64> = digests(&notice).iter().map(|digest| events[digest]).collect();
        assert_eq!(notice["events"], json!([ids.iter().min(), ids.iter().max()]));
    }
}

#[test]
fn a_purge_tells_each_kind_in_notices_of_its_own() {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    let (idle, too_old) = (new_sid(), new_sid());
    app.open(&idle);
    app.has_been_idle(&idle, "3 hours");
    app.open_limited(&too_old, None, Some("1 hour"));
    app.was_opened_ago(&too_old, "2 hours");
    app.purge();
    let told: BTreeMap<String, Vec<String>> = heard_json(&mut listener, &database)
        .iter()
        .map(|notice| (notice["kind"].as_str().expect("text").to_owned(), digests(notice)))
        .collect();
    let expected = [("absolute_expired", &too_old), ("idle_expired", &idle)];
    assert_eq!(
        told,
        expected
            .map(|(kind, sid)| (kind.to_owned(), vec![hex_digest(sid)]))
            .into()
    );
}

#[test]
fn a_notice_never_names_a_user_or_a_sid() {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    for ending in &ENDINGS {
        let (sid, user) = (new_sid(), unique("user"));
        app.open_as(&sid, &user);
        (ending.end)(&mut app, &sid, &user);
        for notice in heard(&mut listener, &database) {
            assert!(
                !notice.contains(&user) && !notice.contains(&sid),
                "{}: {notice}",
                ending.how
            );
        }
    }
}

#[test]
fn what_is_rolled_back_is_not_told() {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    for (ending, undo) in ENDINGS
        .iter()
        .flat_map(|e| [(e, "ROLLBACK"), (e, "ROLLBACK TO here; COMMIT")])
    {
        app.run("TRUNCATE session_timeout.session");
        let (sid, user) = (new_sid(), unique("user"));
        app.open_as(&sid, &user);
        heard(&mut listener, &database);
        app.run("BEGIN; SAVEPOINT here");
        (ending.end)(&mut app, &sid, &user);
        app.run(undo);
        assert_eq!(heard(&mut listener, &database), [""; 0], "{}, {undo}", ending.how);
    }
}

#[test]
fn what_ends_no_session_is_not_told() {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    let (sid, new) = (new_sid(), new_sid());
    app.open(&sid);
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    app.check(&sid);
    app.check_url(&sid, "/websocket");
    app.rotate(&sid, &new);
    app.close_sid(&sid);
    app.close_user("nobody");
    app.purge();
    app.has_been_idle(&new, "3 hours");
    app.peek(&new);
    assert_eq!(heard(&mut listener, &database), [""; 0]);
}

#[test]
fn a_notice_is_sent_also_where_no_events_are_kept() {
    let database = own_database();
    database.set_params(&[(param::EVENT_RETENTION, "0")]);
    let (mut app, mut listener, sid) = (database.connect(), listener(&database), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    let told = heard_json(&mut listener, &database);
    assert_eq!(
        told,
        [json!({"kind": "closed", "events": [], "digests": [hex_digest(&sid)]})]
    );
}

// ---- The view of live sessions ---------------------------------------------------------------------------------------

/// Whether the view shows the session.
fn is_shown(app: &mut Client, sid: &str) -> bool {
    app.value(
        "SELECT count(*) = 1 FROM session_timeout.active_session WHERE digest = session_timeout.session_digest($1)",
        &[&sid],
    )
}

#[test]
fn active_session_shows_an_open_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    assert!(is_shown(&mut app, &sid));
}

#[test]
fn active_session_shows_what_a_peek_shows() {
    let (mut app, sid) = (app(), new_sid());
    app.open_as(&sid, "somebody");
    app.was_opened_ago(&sid, "5 hours");
    app.has_been_idle(&sid, "1 hour");
    let same: bool = app.value(
        "SELECT (s.user_name, s.opened_at, s.last_activity, s.expires_at, s.warn) \
              = (v.user_name, v.opened_at, v.last_activity, v.expires_at, v.warn) \
            AND v.expires_in - s.expires_in BETWEEN interval '-30 s' AND interval '30 s' \
         FROM session_timeout.active_session AS s, session_timeout.peek_session($1) AS v \
         WHERE s.digest = session_timeout.session_digest($1)",
        &[&sid],
    );
    assert!(same);
}

#[test]
fn active_session_warns_of_a_session_that_ends_soon() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "117 minutes");
    let sql = "SELECT warn FROM session_timeout.active_session WHERE digest = session_timeout.session_digest($1)";
    assert!(app.value::<bool>(sql, &[&sid]));
}

#[test]
fn active_session_does_not_show_a_session_past_its_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_does_not_show_a_session_past_its_absolute_delay() {
    let (mut app, sid) = (app(), new_sid());
    app.open_limited(&sid, None, Some("1 hour"));
    app.was_opened_ago(&sid, "2 hours");
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_does_not_show_a_closed_session() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.close_sid(&sid);
    assert!(!is_shown(&mut app, &sid));
}

#[test]
fn active_session_follows_the_parameters() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!is_shown(&mut app, &sid));
    database.set_params(&[(param::DELAY, "0")]);
    assert!(is_shown(&mut app, &sid));
}

#[test]
fn active_session_of_a_session_without_end_shows_none() {
    let database = own_database();
    database.set_params(&[(param::DELAY, "0")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let sql = "SELECT expires_at IS NULL AND expires_in IS NULL AND NOT warn FROM session_timeout.active_session";
    assert!(app.value::<bool>(sql, &[]));
}

#[test]
fn looking_at_active_session_touches_and_expires_nothing() {
    let database = own_database();
    let (mut app, idle, expired) = (database.connect(), new_sid(), new_sid());
    app.open(&idle);
    app.has_been_idle(&idle, "1 hour");
    app.open(&expired);
    app.has_been_idle(&expired, "3 hours");
    let before = (app.stored(&idle), app.stored(&expired));
    app.run("SELECT * FROM session_timeout.active_session");
    assert_eq!((app.stored(&idle), app.stored(&expired)), before);
}
