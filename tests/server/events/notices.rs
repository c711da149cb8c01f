//! Notices on the channel `session_timeout`.

use std::collections::{BTreeMap, BTreeSet};

use session_timeout_tests::param;
use session_timeout_tests::serde_json::{Value, json};

use super::{ENDINGS, every_ending};
use crate::support::{
    SessionCalls, app, common, heard, heard_json, hex_digest, listener, new_sid, own_database, unique,
};

#[test]
fn every_session_that_ends_is_in_one_notice() {
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
fn a_notice_of_a_large_batch_has_the_event_range_of_its_own_digests() {
    let (notices, events) = a_large_batch();
    for notice in parsed(&notices) {
        let ids: Vec<i64> = digests(&notice).iter().map(|digest| events[digest]).collect();
        assert_eq!(notice["events"], json!([ids.iter().min(), ids.iter().max()]));
    }
}

#[test]
fn a_purge_sends_separate_notices_for_each_kind() {
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
fn what_is_rolled_back_sends_no_notice() {
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
fn what_ends_no_session_sends_no_notice() {
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

#[test]
fn sessions_deleted_by_hand_share_notices() {
    let database = own_database();
    let (mut app, mut listener) = (database.connect(), listener(&database));
    app.run("SELECT count(session_timeout.open_session('sid ' || n)) FROM generate_series(1, 300) AS n");
    app.run("DELETE FROM session_timeout.session");
    let notices = heard_json(&mut listener, &database);
    let digests = |notice: &Value| notice["digests"].as_array().map_or(0, Vec::len);
    assert_eq!(notices.iter().map(digests).collect::<Vec<_>>(), [115, 115, 70]);
}

#[test]
fn no_notice_is_sent_if_notices_are_off() {
    let database = own_database();
    database.set_params(&[(param::NOTICES, "off")]);
    let (mut app, mut listener) = (database.connect(), listener(&database));
    for ending in ENDINGS {
        let (sid, user) = (new_sid(), unique("user"));
        app.open_as(&sid, &user);
        (ending.end)(&mut app, &sid, &user);
    }
    assert_eq!(heard(&mut listener, &database), [""; 0]);
}
