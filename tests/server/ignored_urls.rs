//! Which urls are ignored: the parameter's list, and how a url is compared with it. The parser's own tests have the
//! long table.

use session_timeout_tests::{param, shared};

use crate::support::{SessionCalls, app, new_sid, own_database};

/// Sets the list and asks of each url whether a check ignores it.
#[track_caller]
fn assert_ignored(list: &str, ignored: &[&str], counting: &[&str]) {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL, list)]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    for (urls, status) in [(ignored, "ignored"), (counting, "active")] {
        for url in urls {
            assert_eq!(app.verdict_url(&sid, url).status, status, "{url:?}");
        }
    }
}

#[test]
fn the_default_list_names_technical_urls() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    for url in [
        "/calendar/notify",
        "/longpolling/poll",
        "/longpolling/im_status",
        "/websocket",
    ] {
        assert_eq!(app.verdict_url(&sid, url).status, "ignored", "{url}");
    }
}

#[test]
fn an_ignored_url_never_touches() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.check_url(&sid, "/websocket");
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn an_ignored_url_does_not_open_what_is_closed() {
    assert!(!app().check_url(&new_sid(), "/websocket"));
}

#[test]
fn an_entry_matches_a_path_exactly() {
    assert_ignored(
        "/poll",
        &["/poll"],
        &["/poll/", "/polls", "/a/poll", "poll", "/pol", "/"],
    );
}

#[test]
fn a_star_stands_for_any_run_of_characters() {
    assert_ignored(
        "/poll*, *.png, /a*b*c, /x/*/z",
        &[
            "/poll",
            "/polling",
            "/poll/1/2",
            "/img/logo.png",
            "/.png",
            "/abc",
            "/a/b/c",
            "/x/y/z",
            "/x/y/y/z",
        ],
        &["/pol", "/logo.png/", "/acb", "/x/z", "/ac"],
    );
}

#[test]
fn a_lone_star_matches_every_plain_path() {
    assert_ignored(
        "*",
        &["/", "/web", "/a/b/c", "http://host/"],
        &["", "relative", "//host/x"],
    );
}

#[test]
fn entries_are_separated_by_commas_or_newlines() {
    assert_ignored("/a,/b\n/c\r\n/d", &["/a", "/b", "/c", "/d"], &["/a,/b", "/"]);
}

#[test]
fn entries_are_trimmed() {
    assert_ignored("  /a \t,\t/b  ", &["/a", "/b"], &["/a ", " /b"]);
}

#[test]
fn empty_entries_are_skipped() {
    assert_ignored(",,/a,\n\n ,", &["/a"], &["", "/"]);
}

#[test]
fn an_empty_list_ignores_nothing() {
    assert_ignored("", &[], &["/websocket", "/longpolling/poll", "/", ""]);
}

#[test]
fn only_the_path_of_a_url_is_compared() {
    assert_ignored(
        "/poll",
        &[
            "https://host/poll",
            "http://host:8069/poll",
            "https://user:password@host:8069/poll?x=1#top",
            "wss://[::1]:443/poll",
            "/poll?next=/home",
            "/poll#/home",
            "/poll?",
        ],
        &[
            "https://poll",
            "https://host/home?/poll",
            "https://host/home#/poll",
            "/home?url=/poll",
            "https:///poll",
            "//host/poll",
        ],
    );
}

#[test]
fn paths_are_compared_case_sensitively() {
    assert_ignored("/Poll", &["/Poll"], &["/poll", "/POLL"]);
}

#[test]
fn a_path_that_is_not_plain_matches_nothing() {
    assert_ignored(
        "*, /poll/*",
        &[
            "/poll/x",
            "/poll/.hidden",
            "/poll/a%20b",
            "/poll/m\u{fc}nchen",
            "/poll/m%c3%bcnchen",
            "/poll/mu\u{308}nchen",
            "/poll/\u{4f60}\u{597d}",
        ],
        &[
            "/poll/..",
            "/poll/../admin",
            "/poll/./x",
            "/poll/.",
            "/poll//x",
            "//poll/x",
            "/poll/x//",
            "/poll\\..\\admin",
            "/poll/\n",
            "/poll/\u{1}",
            "/poll/\u{7f}",
            "/poll/%2Fadmin",
            "/poll/%2fadmin",
            "/poll/%5Cadmin",
            "/poll/%2e%2e/admin",
            "/poll/%2E",
            "/poll/%252e",
            "/poll/...",
            "/poll/..%20/admin",
            "/poll/%20../admin",
            "/poll/..%09/admin",
            "/poll/..+/admin",
            "/poll/x./y",
            "/poll/%c0%ae%c0%ae/admin",
            "/poll/%e0%80%ae%e0%80%ae/admin",
            "/poll/%f0%80%80%ae%f0%80%80%ae/admin",
            "/poll/%f8%80%80%80%ae/admin",
            "/poll/x%e0%80%afy",
            "/poll/%ef%bc%8e%ef%bc%8e/admin",
            "/poll/\u{ff0e}\u{ff0e}/admin",
            "/poll/\u{2025}/admin",
            "/poll/x\u{ff0f}admin",
            "/poll/%c2%85",
            "/poll/%ff",
            "/poll/%u002e%u002e/admin",
            "/poll/..:x",
        ],
    );
}

/// By PostgreSQL's own tables of Unicode.
#[test]
fn no_character_that_normalization_makes_a_delimiter_of_is_plain() {
    let database = shared().database_builder("normalized").encoding("UTF8").create();
    database.set_params(&[(param::IGNORED_URL, "/poll/*")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let asked: (i64, i64, String) = {
        let row = app
            .query_one(
                "WITH characters AS (
                     SELECT chr(code) AS it, to_hex(code) AS code FROM generate_series(128, 1114111) AS code
                     WHERE code NOT BETWEEN 55296 AND 57343),
                 delimiters AS MATERIALIZED (
                     SELECT * FROM characters WHERE normalize(it, NFKC) ~ '[./\\\\%;?#\u{2044}]' OR normalize(it, NFKD) ~ '[./\\\\%;?#]'),
                 letters AS (SELECT it FROM (VALUES ('\u{fc}'), ('\u{416}'), ('\u{4f60}')) AS letters (it))
                 SELECT (SELECT count(*) FROM delimiters),
                        (SELECT count(*) FROM letters
                         WHERE (session_timeout.session_verdict($1, '/poll/a' || it || 'b')).status = 'ignored'),
                        (SELECT coalesce(string_agg(code, ' '), '') FROM delimiters
                         WHERE (session_timeout.session_verdict($1, '/poll/a' || it || 'b')).status <> 'active')",
                &[&sid],
            )
            .expect("an answer");
        (row.get(0), row.get(1), row.get(2))
    };
    assert!(asked.0 > 50, "PostgreSQL knows of {} such characters", asked.0);
    assert_eq!((asked.1, asked.2.as_str()), (3, ""));
}

#[test]
fn malformed_urls_count() {
    assert_ignored(
        "*",
        &[],
        &[
            "poll",
            "http:",
            "http://",
            "http:/poll",
            "://host/x",
            ":",
            "%",
            "/%",
            "/%zz",
            "?",
            "#",
            "\u{1f511}",
            "http://:80/x",
        ],
    );
}

#[test]
fn a_url_of_a_megabyte_is_compared_with_many_stars() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL, "/*a*a*a*a*a*a*a*a*b, *ab*ab*ab*c")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let url = format!("/{}", "a".repeat(1 << 20));
    // Going back for each star, it would not come to an end.
    assert_eq!(app.verdict_url(&sid, &url).status, "active");
}

#[test]
fn a_url_of_a_megabyte_can_be_ignored() {
    let database = own_database();
    database.set_params(&[(param::IGNORED_URL, "/poll*end")]);
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    let url = format!("https://host/poll{}/end?{}", "/x".repeat(1 << 19), "y".repeat(1 << 20));
    assert_eq!(app.verdict_url(&sid, &url).status, "ignored");
}
