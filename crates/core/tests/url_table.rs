//! Which urls the list of ignored paths matches, case by case.

use session_timeout_core::params::Key;
use session_timeout_core::url::{IgnoredUrls, plain_path};

/// The default value of the parameter.
fn defaults() -> &'static [u8] {
    Key::IgnoredUrl.default_value().as_bytes()
}

/// List, url, whether it matches, and why.
type Case = (&'static [u8], &'static [u8], bool, &'static str);

#[rustfmt::skip]
const EXACT: &[Case] = &[
    (b"/a", b"/a", true, "the path itself"),
    (b"/a", b"/a/", false, "a trailing slash is another path"),
    (b"/a/", b"/a", false, "and so is its absence"),
    (b"/a", b"/ab", false, "an entry is no prefix"),
    (b"/a", b"/x/a", false, "an entry is no suffix"),
    (b"/a", b"/A", false, "case counts"),
    (b"/a", b"", false, "an empty url has no path"),
    (b"*", b"", false, "not even for a lone star"),
    (b"", b"/a", false, "an empty list matches nothing"),
    (b" ,\n,, \r\n", b"/", false, "nor does one of empty entries"),
    (b"/a,/b", b"/b", true, "commas separate"),
    (b"/a\n/b", b"/b", true, "newlines separate"),
    (b"/a\r\n/b\r\n", b"/a", true, "carriage returns before them are trimmed"),
    (b" \t/a \t, /b", b"/a", true, "entries are trimmed"),
    (b"/a b", b"/a b", true, "white space within an entry stays"),
    (b"/", b"/", true, "the root"),
    (b"/\xc3\xa9t\xc3\xa9", b"/\xc3\xa9t\xc3\xa9", true, "letters of another script"),
    (b"/\xc3\xa9", b"/\xe9", false, "encodings are not guessed"),
    (b"/%41", b"/A", false, "escapes are not decoded"),
    (b"/a%20b", b"/a%20b", true, "an escape is compared as it is written"),
    (b"/a%2db", b"/a%2Db", false, "down to the case of its digits"),
    (b"/a?b", b"/a?b", false, "a question mark in an entry never matches, as the url's query is cut"),
    (b"/a[b]", b"/a[b]", true, "brackets mean nothing"),
    (b"/a.b", b"/axb", false, "a dot is a dot"),
];

#[rustfmt::skip]
const WILDCARDS: &[Case] = &[
    (b"*", b"/", true, "a star is any run"),
    (b"*", b"/any/path/at/all.html", true, "across slashes"),
    (b"**", b"/x", true, "two stars are one"),
    (b"/a/*", b"/a/", true, "a star may be empty"),
    (b"/a/*", b"/a", false, "what stands before it may not"),
    (b"/a/*", b"/a/b/c", true, "across slashes at the end"),
    (b"/a*", b"/a", true, "empty at the end"),
    (b"*/poll", b"/x/y/poll", true, "a star at the start"),
    (b"*/poll", b"/poll", true, "empty at the start"),
    (b"*/poll", b"/poll/x", false, "the last piece is anchored"),
    (b"/a/*/c", b"/a/b/c", true, "in the middle"),
    (b"/a/*/c", b"/a/c", false, "both slashes are needed"),
    (b"/a*a", b"/a", false, "first and last piece may not overlap"),
    (b"/a*a", b"/aa", true, "but may touch"),
    (b"*a*b*", b"/xxaxxbxx", true, "pieces in order"),
    (b"*a*b*", b"/xxbxxaxx", false, "and not out of it"),
    (b"*ab*ab*", b"/xabx", false, "a piece is not used twice"),
    (b"*ab*ab*", b"/abab", true, "pieces may touch"),
    (b"/*aba*ba", b"/xaba", false, "the middle may not reach into the end"),
    (b"/*ab*c", b"/abxabc", true, "leftmost is enough"),
    (b"/?", b"/a", false, "a question mark is no wildcard"),
    (b"/web/*,/b", b"/web/x", true, "any entry will do"),
];

#[rustfmt::skip]
const CUT_OFF: &[Case] = &[
    (b"/a", b"/a?x=1", true, "the query"),
    (b"/a", b"/a#x", true, "the fragment"),
    (b"/a", b"/a#x?y", true, "a question mark within the fragment"),
    (b"/a", b"/a?", true, "an empty query"),
    (b"/a", b"?/a", false, "a query alone has no path"),
    (b"/a", b"/a?u=//x/../\\%zz\x01", true, "what the query holds is not looked at"),
    (b"/a", b"http://host/a", true, "scheme and host"),
    (b"/a", b"HTTPS://HOST:8069/a?b#c", true, "the port, and a scheme in capitals"),
    (b"/a", b"http://user:pw@host/a", true, "the user"),
    (b"/a", b"http://u@:p@host/a", true, "the last at sign ends the user"),
    (b"/a", b"http://[::1]:80/a", true, "a host that is an address"),
    (b"/a", b"svn+ssh.x-1://host/a", true, "any scheme there may be"),
    (b"/", b"http://host", true, "a host alone has the root as its path"),
    (b"/", b"http://host?a", true, "also before a query"),
    (b"/", b"http://host#a", true, "or a fragment"),
    (b"/a", b"http://host?/a", false, "a path in the query is none"),
    (b"*", b"a", false, "a relative url"),
    (b"*", b"a/b", false, "a longer one"),
    (b"*", b"./a", false, "one that says so"),
    (b"*", b" /a", false, "a space before it makes it relative"),
    (b"*", b"//host/a", false, "a scheme-relative url"),
    (b"*", b"://host/a", false, "an empty scheme"),
    (b"*", b"1http://host/a", false, "a scheme begins with a letter"),
    (b"*", b"ht_tp://host/a", false, "and has no underscore"),
    (b"*", b"http:/a", false, "one slash is no authority"),
    (b"*", b"http:a", false, "nor is none"),
    (b"*", b"host:80/a", false, "a host and port alone are no authority"),
    (b"*", b"http://", false, "an empty host"),
    (b"*", b"http:///a", false, "which browsers read as the host a"),
    (b"*", b"http://:80/a", false, "a port without a host"),
    (b"*", b"http://user@/a", false, "a user without a host"),
    (b"*", b"http://host//a", false, "two slashes after the host"),
];

#[rustfmt::skip]
const NOT_PLAIN: &[Case] = &[
    (b"*", b"/a/../b", false, "a segment of two dots"),
    (b"*", b"/a/..", false, "at the end"),
    (b"*", b"/..", false, "at the start"),
    (b"*", b"/a/./b", false, "a segment of one dot"),
    (b"*", b"/.", false, "alone"),
    (b"*", b"/a/..?x", false, "before a query"),
    (b"*", b"/a/..;x/b", false, "with a path parameter"),
    (b"*", b"/a/.;/b", false, "with an empty one"),
    (b"*", b"/a/..%3Bx/b", false, "with an encoded one"),
    (b"*", b"/a%3bx", false, "an encoded semicolon, wherever it is"),
    (b"*", b"/a%3Fx", false, "an encoded question mark, at which some cut"),
    (b"*", b"/a%23x", false, "an encoded number sign"),
    (b"*", b"/a/%c0%ae%c0%ae/b", false, "dots as UTF-8 must not write them"),
    (b"*", b"/a%C1%9Cb", false, "a backslash, likewise"),
    (b"*", b"/a/;x/b", false, "a parameter alone reads as two slashes"),
    (b"*", b"/a/;x", false, "also at the end"),
    (b"*", b"/a//b", false, "two slashes"),
    (b"*", b"/a//", false, "at the end"),
    (b"/a//b", b"/a//b", false, "even if the entry has them"),
    (b"*", b"/a\\b", false, "a backslash"),
    (b"*", b"http://ho\\st/a", false, "a backslash in the host"),
    (b"*", b"\\\\host/a", false, "or in front of it"),
    (b"*", b"/a\nb", false, "a newline"),
    (b"*", b"/a\tb", false, "a tab, which browsers leave out"),
    (b"*", b"/a\x00", false, "a NUL"),
    (b"*", b"/a\x7f", false, "a DEL"),
    (b"*", b"http://ho\x1fst/a", false, "a control byte in the host"),
    (b"*", b"\x01http://host/a", false, "or before the scheme"),
    (b"*", b"/a%2fb", false, "an encoded slash"),
    (b"*", b"/a%2Fb", false, "in capitals"),
    (b"*", b"/a%5cb", false, "an encoded backslash"),
    (b"*", b"/a%5Cb", false, "in capitals"),
    (b"*", b"/%2e%2e/b", false, "encoded dots"),
    (b"*", b"/a%2Eb", false, "one encoded dot, anywhere"),
    (b"*", b"/a%252fb", false, "an encoded percent"),
    (b"*", b"/a%00", false, "an encoded NUL"),
    (b"*", b"/a%1F", false, "the last encoded control byte"),
    (b"*", b"/a%7f", false, "an encoded DEL"),
    (b"*", b"/a%", false, "a percent alone"),
    (b"*", b"/a%4", false, "half an escape"),
    (b"*", b"/a%4g", false, "not hexadecimal"),
    (b"*", b"/a%+1", false, "a sign is no digit"),
    (b"*", b"/a%u002e", false, "nor is a u"),
    (b"*", b"/a%4?1", false, "an escape does not reach into the query"),
    (b"*", b"http://ho%2fst/a", false, "an escape in the host"),
    (b"*", b"http://host\xef\xbc\x8fa/b", false, "a slash of full width in the host, which ends it for browsers"),
    (b"*", b"http://ho st/a", false, "a space in the host"),
];

/// Bytes that are no UTF-8, and that lenient decoders read as something.
#[rustfmt::skip]
const NO_UTF_8: &[Case] = &[
    (b"*", b"/a/%c0%ae%c0%ae/b", false, "two dots in two bytes each"),
    (b"*", b"/a/%e0%80%ae%e0%80%ae/b", false, "in three"),
    (b"*", b"/a/%f0%80%80%ae%f0%80%80%ae/b", false, "in four"),
    (b"*", b"/a/%f8%80%80%80%ae/b", false, "in five"),
    (b"*", b"/a/%fc%80%80%80%80%ae/b", false, "in six"),
    (b"*", b"/a%c0%afb", false, "a slash"),
    (b"*", b"/a%E0%80%AFb", false, "in three bytes, and capitals"),
    (b"*", b"/a%f0%80%80%afb", false, "in four"),
    (b"*", b"/a%e0%9f%bfb", false, "the last overlong form of three bytes"),
    (b"*", b"/a%f0%8f%bf%bfb", false, "and of four"),
    (b"*", b"/a\xc0\xaeb", false, "as they are"),
    (b"*", b"/a\xe0\x80\xaeb", false, "in three bytes"),
    (b"*", b"/a%c0\xaeb", false, "half encoded"),
    (b"*", b"/a%c0%2eb", false, "with an ASCII byte after the first"),
    (b"*", b"/a%c3/b", false, "half a character before a slash"),
    (b"*", b"/a%c3", false, "or at the end"),
    (b"*", b"/a%c3b", false, "or before a letter"),
    (b"*", b"/a%80b", false, "a byte that only continues one"),
    (b"*", b"/a%ffb", false, "one that is never used"),
    (b"*", b"/\xff\x80", false, "as they are"),
    (b"/caf\xe9", b"/caf\xe9", false, "another encoding, even where the entry has it"),
    (b"*", b"/a%ed%a0%80b", false, "half a surrogate pair"),
    (b"*", b"/a%ed%a0%bd%ed%b8%80b", false, "a pair, as CESU-8"),
    (b"*", b"/a%f4%90%80%80b", false, "past the last character"),
    (b"*", b"/%u002e%u002e/b", false, "UTF-16"),
    (b"*", b"/a%uff0fb", false, "likewise"),
];

/// Characters that are made delimiters of, or nothing.
const CONFUSABLE: [(char, &str); 40] = [
    ('\u{ff0e}', "a dot of full width"),
    ('\u{fe52}', "a small dot"),
    ('\u{2024}', "a leader of one dot"),
    ('\u{2025}', "of two"),
    ('\u{2026}', "of three"),
    ('\u{fe30}', "of two, upright"),
    ('\u{fe19}', "of three"),
    ('\u{3002}', "an ideographic full stop"),
    ('\u{ff61}', "of half width"),
    ('\u{b7}', "a middle dot"),
    ('\u{2488}', "a number with a dot"),
    ('\u{1f100}', "a zero with one"),
    ('\u{33c2}', "a.m."),
    ('\u{ff0f}', "a slash of full width"),
    ('\u{2044}', "a fraction slash"),
    ('\u{2215}', "a division slash"),
    ('\u{29f8}', "a big slash"),
    ('\u{2100}', "a/c"),
    ('\u{bd}', "1/2"),
    ('\u{215f}', "1/"),
    ('\u{33a7}', "m/s"),
    ('\u{ff3c}', "a backslash of full width"),
    ('\u{fe68}', "a small one"),
    ('\u{2216}', "a set minus"),
    ('\u{a5}', "a yen sign, where a backslash is in Japanese"),
    ('\u{ff05}', "a percent sign of full width"),
    ('\u{fe6a}', "a small one"),
    ('\u{37e}', "a Greek question mark, which is a semicolon"),
    ('\u{ff1b}', "a semicolon of full width"),
    ('\u{ff1f}', "a question mark"),
    ('\u{2047}', "two"),
    ('\u{ff03}', "a number sign"),
    ('\u{fe5f}', "a small one"),
    ('\u{85}', "a line end"),
    ('\u{a0}', "a space"),
    ('\u{3000}', "an ideographic one"),
    ('\u{ad}', "a hyphen that is not shown"),
    ('\u{200b}', "a space of no width"),
    ('\u{feff}', "another"),
    ('\u{3164}', "a Hangul letter that is not shown"),
];

/// What is left of a segment if somebody trims it.
#[rustfmt::skip]
const TRIMMED: &[Case] = &[
    (b"*", b"/a/..%20/b", false, "dots and an encoded space"),
    (b"*", b"/a/%20../b", false, "before them"),
    (b"*", b"/a/.. /b", false, "a space as it is"),
    (b"*", b"/a/. ./b", false, "between them"),
    (b"*", b"/a/..+/b", false, "as forms write it"),
    (b"*", b"/a/+../b", false, "before them"),
    (b"*", b"/a/..%2b", false, "encoded"),
    (b"*", b"/a/..%09/b", false, "a tab"),
    (b"*", b"/a/%20/b", false, "a space alone"),
    (b"*", b"/a/+/b", false, "a plus alone"),
    (b"*", b"/a%20/b", false, "a space at the end of a name"),
    (b"*", b"/a/b ", false, "as it is"),
    (b"*", b"/%20a", false, "at the beginning"),
    (b"*", b"/a/.../b", false, "three dots"),
    (b"*", b"/....", false, "four"),
    (b"*", b"/a./b", false, "a dot at the end of a name"),
    (b"*", b"/a..", false, "two"),
    (b"*", b"/a. .", false, "and a space"),
    (b"*", b"/a.+", false, "and a plus"),
    (b"*", b"/a.;x/b", false, "before a path parameter"),
    (b"*", b"/a;x/..;y", false, "two dots before one"),
    (b"*", b"/a;..", false, "at the end of one"),
    (b"*", b"/..:x", false, "a delimiter after the dots"),
    (b"*", b"/..,x", false, "a comma"),
    (b"*", b"/.\xcc\x80.", false, "dots with a mark"),
    (b"*", b"/..\xcc\xb8", false, "at the end"),
    (b"*", b"/\xcc\xb8a", false, "a mark alone"),
    (b"*", b"/a%20%20b/a.%20b", true, "within a name nobody trims"),
];

/// Many servers cut these off before they route.
#[rustfmt::skip]
const PATH_PARAMETERS: &[Case] = &[
    (b"*.ico", b"/web;.ico", false, "what a star stands for may be the parameter of another path"),
    (b"*.ico", b"/web;a=1/x;.ico", false, "in any segment"),
    (b"*poll*", b"/web;x=poll/orders", false, "in the middle"),
    (b"*.ico", b"/a.ico;v=1", false, "an entry says how a path ends"),
    (b"*/poll/*", b"/a;x=1/poll/b;y=2", true, "the path is ignored with them and without"),
    (b"/poll*", b"/poll;jsessionid=1", true, "likewise"),
    (b"/poll", b"/poll;jsessionid=1", false, "without a star the whole path counts"),
    (b"/poll;v=1", b"/poll;v=1", true, "also where the entry has the parameter"),
];

#[rustfmt::skip]
const STILL_PLAIN: &[Case] = &[
    (b"*", b"/..a", true, "two dots may begin a name"),
    (b"*", b"/a.b/.well-known", true, "one dot, too"),
    (b"*", b"/a..b/a. b", true, "or be in it"),
    (b"*", b"/.-/._/.~", true, "what is no letter may follow a dot"),
    (b"*", b"/+1/c++/a+b", true, "a plus"),
    (b"*", b"/a;x=1.5", true, "a dot in a path parameter"),
    (b"*", b"/a/", true, "a trailing slash"),
    (b"*", b"/a%20b", true, "an encoded space is the first that is no control byte"),
    (b"*", b"/a%7E", true, "one below DEL"),
    (b"*", b"/%61%2Bb", true, "an encoded letter, and a plus"),
    (b"/m\xc3\xbcnchen/*", b"/m\xc3\xbcnchen/poll", true, "a letter of another script"),
    (b"/m%c3%bcnchen/*", b"/m%c3%bcnchen/poll", true, "encoded"),
    (b"*", b"/m%c3\xbcnchen", true, "half of it encoded"),
    (b"*", b"/mu\xcc\x88nchen", true, "a combining mark"),
    (b"*", "/\u{43f}\u{43e}\u{447}\u{442}\u{430}/\u{5d0}\u{5d1}/\u{6f1}".as_bytes(), true, "other scripts, their digits"),
    (b"*", "/\u{939}\u{93f}\u{928}\u{94d}\u{926}\u{940}/\u{e17}\u{e35}\u{e48}".as_bytes(), true, "their signs"),
    (b"*", "/\u{4f60}\u{597d}/\u{30c6}\u{30ec}\u{30d3}\u{30fc}/\u{c548}\u{b155}/\u{20bb7}".as_bytes(), true, "East Asian ones"),
    (b"*", b"/a\"<>[]^`{|}!$&'()*,=", true, "other printable ASCII"),
    (b"*", b"/@a/(b)/$c/:d", true, "also at the beginning"),
    (b"*", b"/a:b@c", true, "colon and at sign mean nothing in a path"),
    (b"*", b"/http://x", false, "but two slashes do"),
];

fn check(cases: &[Case]) {
    for &(list, url, expected, reason) in cases {
        let ignored = IgnoredUrls::parse(list).expect("a list of the table parses");
        assert_eq!(
            ignored.matches(url),
            expected,
            "{} on {}: {reason}",
            list.escape_ascii(),
            url.escape_ascii()
        );
    }
}

#[test]
fn an_entry_without_a_star_matches_its_path_alone() {
    check(EXACT);
}

#[test]
fn a_star_stands_for_any_run_of_bytes() {
    check(WILDCARDS);
}

#[test]
fn all_but_the_path_is_cut_off() {
    check(CUT_OFF);
}

#[test]
fn a_path_that_could_be_routed_elsewhere_matches_nothing() {
    check(NOT_PLAIN);
}

#[test]
fn a_path_that_is_no_utf_8_matches_nothing() {
    check(NO_UTF_8);
}

#[test]
fn a_path_that_is_another_one_when_trimmed_matches_nothing() {
    check(TRIMMED);
}

#[test]
fn a_path_that_is_another_one_when_normalized_matches_nothing() {
    let star = IgnoredUrls::parse(b"*").expect("a list");
    assert!(star.matches(b"/ab"));
    for (character, reason) in CONFUSABLE {
        let bytes = character.to_string().into_bytes();
        let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        for spelling in [character.to_string(), escaped.to_lowercase(), escaped] {
            for url in [
                format!("/a{spelling}b"),
                format!("/a/{spelling}/b"),
                format!("/a/.{spelling}"),
                format!("/a/{spelling}{spelling}"),
            ] {
                assert!(!star.matches(url.as_bytes()), "{}: {reason}", url.escape_unicode());
            }
        }
    }
}

#[test]
fn a_path_that_only_looks_odd_is_still_compared() {
    check(STILL_PLAIN);
}

#[test]
fn a_star_matches_no_path_by_its_path_parameters() {
    check(PATH_PARAMETERS);
}

#[test]
fn the_default_list_matches_its_paths_and_nothing_below_them() {
    let ignored = IgnoredUrls::parse(defaults()).expect("the default parses");
    for path in [
        "/calendar/notify",
        "/longpolling/poll",
        "/longpolling/im_status",
        "/websocket",
    ] {
        assert!(ignored.matches(path.as_bytes()), "{path}");
        assert!(
            ignored.matches(format!("https://odoo.example:8069{path}?last=1#top").as_bytes()),
            "{path}"
        );
        assert!(!ignored.matches(format!("{path}/x").as_bytes()), "{path}");
    }
    assert!(!ignored.matches(b"/web"));
}

#[test]
fn the_default_of_the_type_is_the_empty_list() {
    assert!(!IgnoredUrls::default().matches(b"/"));
}

#[test]
fn the_plain_path_is_what_is_between_host_and_query() {
    assert_eq!(
        plain_path(b"http://u:p@host:1/a/b;c=1?d#e"),
        Some(b"/a/b;c=1".as_slice())
    );
    assert_eq!(plain_path(b"http://host"), Some(b"/".as_slice()));
    assert_eq!(plain_path(b"/a/../b"), None);
}

#[test]
fn an_entry_that_begins_with_neither_slash_nor_star_is_refused() {
    for (list, entry) in [
        (b"/a,websocket".as_slice(), "websocket"),
        (b"http://host/a", "http://host/a"),
        (b"/a, ?x ,/b", "?x"),
        (b"/a\n\\b", r"\\b"),
        (b"/a,\xe9\x01", r"\xe9\x01"),
    ] {
        let error = IgnoredUrls::parse(list).expect_err("an entry is refused");
        assert_eq!(error.to_string(), format!("entry \"{entry}\" must begin with / or *"));
    }
}

#[test]
fn a_long_refused_entry_is_shortened() {
    let error = IgnoredUrls::parse(&[b'x'; 1000]).expect_err("refused");
    assert!(
        error
            .to_string()
            .contains(&("\"".to_owned() + &"x".repeat(57) + "...\""))
    );
}
