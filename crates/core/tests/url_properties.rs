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
    fn stars_over_parts_of_a_path_match_it(path in "(/[abc][ab.]{0,4}[ab]){1,4}", cuts in prop::collection::vec((0..30_usize, 0..5_usize), 0..4)) {
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
    fn a_plain_path_is_plain_and_stands_in_its_url(url in "(http://|/|//)?[a-c./;+ %@:?#\\\\\\x01\\x7f2eEfF5c0-3\u{e9}\u{301}\u{ff0f}]{0,20}") {
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
    fn a_path_of_ordinary_segments_is_plain(path in "(/[a-zA-Z0-9_~!$&'()*,=:@-][a-zA-Z0-9_~!$&'()*+,=:@ .-]{0,7}[a-z]){1,4}/?") {
        prop_assert_eq!(plain_path(path.as_bytes()), Some(path.as_bytes()));
    }

    /// Of what the rule is about, raw and encoded.
    #[test]
    fn a_path_is_plain_where_the_naive_rule_says_so(parts in prop::collection::vec(prop::sample::select(PARTS), 0..8)) {
        let path = [b"/".as_slice(), &parts.concat()].concat();
        prop_assert_eq!(plain_path(&path).is_some(), naive::is_plain(&path), "{}", path.escape_ascii());
    }

    #[test]
    fn any_bytes_are_plain_where_the_naive_rule_says_so(rest in prop::collection::vec(any::<u8>(), 0..12)) {
        let path: Vec<u8> = [b"/".as_slice(), &rest].concat().into_iter().filter(|byte| !b"?#".contains(byte)).collect();
        prop_assert_eq!(plain_path(&path).is_some(), naive::is_plain(&path), "{}", path.escape_ascii());
    }

    /// Whatever a character is, escaping its bytes changes nothing, but for what delimits.
    #[test]
    fn a_character_is_the_same_escaped(before in "[a.]{0,2}", character in any::<char>(), after in "[a.]{0,2}") {
        if !"/.;\\%?#".contains(character) {
            let bytes = character.to_string().into_bytes();
            let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            let [raw, escaped] = [character.to_string(), escaped].map(|c| format!("/{before}{c}{after}"));
            prop_assert_eq!(plain_path(raw.as_bytes()).is_some(), plain_path(escaped.as_bytes()).is_some(), "{}", raw);
        }
    }

    #[test]
    fn what_is_no_utf_8_is_not_plain(before in "[a-z]{0,3}", bytes in prop::collection::vec(0x80..=0xff_u8, 1..7), after in "[a-z]{0,3}") {
        if std::str::from_utf8(&bytes).is_err() {
            let escaped: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
            let raw = [b"/", before.as_bytes(), &bytes, after.as_bytes()].concat();
            let escaped = format!("/{before}{escaped}{after}");
            prop_assert_eq!(plain_path(&raw), None);
            prop_assert_eq!(plain_path(escaped.as_bytes()), None);
        }
    }
}

const PARTS: &[&[u8]] = &[
    b"/",
    b"/",
    b"a",
    b"1",
    b"-",
    b".",
    b".",
    b"..",
    b";",
    b"+",
    b" ",
    b"%20",
    b"%2b",
    b"%2e",
    b"%61",
    b"%",
    b":",
    b"!",
    b"\xc3\xa9",
    b"%c3%a9",
    b"\xc3",
    b"\xa9",
    b"%C3",
    b"\xcc\x81",
    b"%cc%81",
    b"%e0%a5%8d",
    b"%ef%bc%8e",
    b"%c2%a0",
    b"%c0%ae",
    b"\xe0\xa4\xa8",
    b"%e2%81%84",
    b"\x7f",
    b"\\",
];

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
    assert!(is_plain(b"/") && is_plain(b"/a/%41") && is_plain(b"/..a/.b;c/+d"));
    assert!(!is_plain(b"/a//b") && !is_plain(b"/..") && !is_plain(b"/%+1") && !is_plain(b"/%0a") && !is_plain(b""));
}
