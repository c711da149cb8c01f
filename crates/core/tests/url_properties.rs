//! What holds for all urls and lists: agreement with a naive matcher, plain paths, and urls of a megabyte.

#[path = "bodies/naive.rs"]
mod naive;

use proptest::prelude::*;
use session_timeout_core::url::{IgnoredUrls, plain_path};

fn ignored(list: &[u8]) -> IgnoredUrls {
    IgnoredUrls::parse(list).expect("the list parses")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Few letters, so that pieces overlap and repeat.
    #[test]
    fn one_pattern_matches_as_the_naive_matcher_says(pattern in "[/*][ab/*]{0,10}", path in "(/[ab]{1,4}){1,3}/?") {
        let expected = naive::matches(pattern.as_bytes(), path.as_bytes());
        prop_assert_eq!(ignored(pattern.as_bytes()).matches(path.as_bytes()), expected);
    }

    /// A pattern made from the path itself by putting stars over parts of it.
    #[test]
    fn stars_over_parts_of_a_path_match_it(path in "(/[abc][ab.]{0,4}){1,4}", cuts in prop::collection::vec((0..30_usize, 0..5_usize), 0..4)) {
        let mut pattern = path.clone().into_bytes();
        for (at, len) in cuts {
            let at = at.min(pattern.len());
            let end = (at + len).min(pattern.len());
            pattern.splice(at..end, *b"*");
        }
        prop_assert!(ignored(&pattern).matches(path.as_bytes()), "{}", pattern.escape_ascii());
    }

    /// Few letters, so that what is cut off matches as well.
    #[test]
    fn path_parameters_make_no_path_match_that_does_not_match_without(pattern in "[/*][a;/*]{0,8}", path in "(/a[a;]{0,4}){1,3}") {
        let entry = pattern.as_bytes();
        let expected = naive::is_listed(entry, path.as_bytes());
        prop_assert_eq!(ignored(entry).matches(path.as_bytes()), expected);
    }

    #[test]
    fn a_list_matches_if_one_of_its_entries_does(
        entries in prop::collection::vec("/[ab/*]{0,5}", 0..4), path in "/[ab]{0,5}", separator in "[,\n]|\r\n| , ",
    ) {
        let list = entries.join(&separator);
        let expected = naive::entries(list.as_bytes()).iter().any(|entry| naive::matches(entry, path.as_bytes()));
        prop_assert_eq!(ignored(list.as_bytes()).matches(path.as_bytes()), expected);
    }

    #[test]
    fn a_plain_path_is_plain_and_stands_in_its_url(url in "(http://|/|//)?[a-c./;%@:?#\\\\\\x01\\x7f2eEfF5c0-3]{0,20}") {
        if let Some(path) = plain_path(url.as_bytes()) {
            prop_assert!(naive::is_plain(path), "{} in {}", path.escape_ascii(), url);
            prop_assert!(path == b"/" || url.as_bytes().windows(path.len()).any(|part| part == path));
            prop_assert_eq!(plain_path(path), Some(path), "the path of a path is itself");
        }
    }

    #[test]
    fn nothing_before_or_after_the_path_changes_the_verdict(
        path in "(/[ab]{1,3}){1,3}", scheme in "[a-z][a-z0-9+.-]{0,5}", user in "([a-z:]{1,5}@)?", host in "[a-z.]{1,9}(:[0-9]{1,5})?",
        rest in "([?#][a-z/.?#%]{0,9})?",
    ) {
        let url = format!("{scheme}://{user}{host}{path}{rest}");
        prop_assert_eq!(plain_path(url.as_bytes()), Some(path.as_bytes()));
    }

    #[test]
    fn a_path_of_ordinary_segments_is_plain(path in "(/[a-zA-Z0-9_~!$&'()*+,=:@ -]{1,8}){1,4}/?") {
        prop_assert_eq!(plain_path(path.as_bytes()), Some(path.as_bytes()));
    }
}

const MEGABYTE: usize = 1 << 20;

/// Finishing is the proof: with backtracking each of these would run for years.
#[test]
fn a_megabyte_url_is_no_problem_for_nasty_patterns() {
    let letters = [b"/".as_slice(), &[b'a'; MEGABYTE]].concat();
    let nasty = [
        "*a*a*a*a*b",
        "/*a*aa*aaa*aaaa*b*",
        "*aaaaaaaaaaaaaaaab*",
        "*b",
        "*a*b*c*d*e",
    ];
    for pattern in nasty {
        assert!(!ignored(pattern.as_bytes()).matches(&letters), "{pattern}");
    }
    assert!(!ignored(["*a"; 10_000].concat().as_bytes()).matches(b"/aaaa"));
    assert!(ignored(["*a"; 10_000].concat().as_bytes()).matches(&letters));
    assert!(!ignored(format!("*{}b*", "a".repeat(MEGABYTE / 2)).as_bytes()).matches(&letters));
    assert!(ignored(b"*a*a*a*a*").matches(&letters));
}

#[test]
fn a_megabyte_url_of_periodic_text_is_no_problem() {
    let periodic = [b"/".as_slice(), &b"ab".repeat(MEGABYTE / 2)].concat();
    let piece = "ab".repeat(1000);
    assert!(!ignored(format!("*{piece}b*{piece}a*").as_bytes()).matches(&periodic));
    assert!(ignored(format!("*{piece}*{piece}*").as_bytes()).matches(&periodic));
}

#[test]
fn a_megabyte_of_segments_escapes_or_query_is_no_problem() {
    let star = ignored(b"*");
    assert!(star.matches(&b"/a".repeat(MEGABYTE / 2)));
    assert!(star.matches(&[b"/".as_slice(), &b"%41".repeat(MEGABYTE / 3)].concat()));
    assert!(star.matches(&[b"/?".as_slice(), &vec![b'/'; MEGABYTE]].concat()));
    assert!(star.matches(&[b"/a".as_slice(), &vec![b';'; MEGABYTE]].concat()));
    assert!(!star.matches(&vec![b'/'; MEGABYTE]));
    assert!(!star.matches(&[b"/a".repeat(MEGABYTE / 2), b"/..".to_vec()].concat()));
    assert!(!star.matches(&vec![b'a'; MEGABYTE]));
}

#[test]
fn the_naive_matcher_is_right_about_what_is_plain_to_see() {
    use naive::{is_plain, matches};
    assert!(matches(b"*", b"") && matches(b"*a*", b"cab") && matches(b"/a*c", b"/abc") && matches(b"", b""));
    assert!(!matches(b"/a*c", b"/abd") && !matches(b"a", b"") && !matches(b"", b"a") && !matches(b"a*a", b"a"));
    assert!(is_plain(b"/") && is_plain(b"/a/%41") && is_plain(b"/.../..a;.."));
    assert!(!is_plain(b"/a//b") && !is_plain(b"/..") && !is_plain(b"/%+1") && !is_plain(b"/%0a") && !is_plain(b""));
}
