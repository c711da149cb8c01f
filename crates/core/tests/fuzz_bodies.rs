//! The bodies of the fuzz targets, for a fixed number of inputs each time the tests run.

mod bodies;

use proptest::prelude::*;
use session_timeout_core::params::Key;

/// Texts made of what the grammars are made of, which arbitrary bytes would never hit.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(words), 0..12).prop_map(|words| words.concat().into_bytes())
}

fn joined(
    left: impl Strategy<Value = Vec<u8>>,
    right: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Vec<u8>> {
    (left, right).prop_map(|(left, right)| [left, vec![0], right].concat())
}

const PATH_PARTS: &[&str] = &[
    "/", "/", "/a", "/b", "a", "b", "*", "*", "**", ",", "\n", "\r\n", " ", ".", "..", ";", "%", "%2e", "%41", "%3b",
    "%7F", "\\", "?", "#", "@", ":", "http://", "host", "\u{e9}", "+", "%20", "%c3", "%a9", "\u{301}", "\u{ff0f}",
    "\u{2025}",
];

const TIME_PARTS: &[&str] = &[
    "0",
    "1",
    "7",
    "30",
    "59",
    "99999999999",
    ".",
    ".5",
    ":",
    "-",
    "+",
    " ",
    " ",
    ",",
    "@",
    "P",
    "T",
    "D",
    "M",
    "s",
    "m",
    "h",
    "day",
    " mons",
    " years",
    " us",
    "weeks ",
    "ago",
    "e",
    "inf",
    "\u{e9}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_as_list_and_url(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::url_list(&data);
    }

    #[test]
    fn any_list_like_and_url_like_text(data in joined(words(PATH_PARTS), words(PATH_PARTS))) {
        bodies::url_list(&data);
    }

    #[test]
    fn any_bytes_as_key_and_value(data in prop::collection::vec(any::<u8>(), 0..200)) {
        bodies::param(&data);
    }

    #[test]
    fn any_value_for_a_known_key(
        data in joined(prop::sample::select(&Key::ALL[..]).prop_map(|key| key.name().into()), words(TIME_PARTS)),
    ) {
        bodies::param(&data);
    }
}
