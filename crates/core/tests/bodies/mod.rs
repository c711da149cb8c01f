//! What must hold for any bytes at all: the bodies of the fuzz targets, also run by the tests.
//!
//! Each takes arbitrary bytes, splits them at their first NUL (which no text of PostgreSQL holds), and panics if the library
//! breaks a promise. The rules are stated a second time here, as naively as possible, to compare with.

mod naive;

use chrono::TimeDelta;
use session_timeout_core::params::{self, Key, PREFIX, Params};
use session_timeout_core::span;
use session_timeout_core::url::{IgnoredUrls, plain_path};

/// `list NUL url`: parses the list and compares each match with the naive matcher.
pub fn url_list(data: &[u8]) {
    let (list, url) = split(data);
    let path = plain_path(url);
    if let Some(path) = path {
        assert!(naive::is_plain(path), "{} is no plain path", path.escape_ascii());
    }
    let entries = naive::entries(list);
    match IgnoredUrls::parse(list) {
        Ok(ignored) => {
            assert!(entries.iter().all(|entry| matches!(entry[0], b'/' | b'*')));
            let expected = path.is_some_and(|path| entries.iter().any(|entry| naive::is_listed(entry, path)));
            assert_eq!(
                ignored.matches(url),
                expected,
                "list {} url {}",
                list.escape_ascii(),
                url.escape_ascii()
            );
        }
        Err(error) => {
            assert!(entries.iter().any(|entry| !matches!(entry[0], b'/' | b'*')));
            let message = error.to_string();
            assert!(message.is_ascii() && message.len() <= 100);
        }
    }
}

/// `key NUL value`: checks the row, and gives the value to every parameter and to the parser of times.
pub fn param(data: &[u8]) {
    let (key, value) = split(data);
    let verdict = params::validate(key, value);
    if !key.starts_with(PREFIX.as_bytes()) {
        assert_eq!(verdict, Ok(()));
    } else if Key::ALL.iter().all(|known| known.name().as_bytes() != key) {
        assert!(verdict.is_err());
    }
    for key in Key::ALL {
        set(key, value);
    }
    time(value);
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|&byte| byte == 0);
    at.map_or((data, b""), |at| (&data[..at], &data[at + 1..]))
}

fn set(key: Key, value: &[u8]) {
    let before = Params::default();
    let mut params = before.clone();
    let result = params.set(key, value);
    let written = params::validate(key.name().as_bytes(), value);
    if key.is_time() && result.is_ok() && span::is_lost_in_rounding(value) {
        assert!(written.is_err());
    } else {
        assert_eq!(result, written);
    }
    if let Err(error) = result {
        assert_eq!(
            format!("{params:?}"),
            format!("{before:?}"),
            "a refused value changes nothing"
        );
        assert!(error.message().contains(key.name()) && error.message().is_ascii() && error.message().len() < 300);
        assert!(!error.hint().is_empty());
    }
    let zero = TimeDelta::zero();
    assert!(params.delay.is_none_or(|delay| delay > zero));
    assert!(params.absolute_delay.is_none_or(|delay| delay > zero));
    assert!(params.event_retention.is_none_or(|kept| kept > zero));
    assert!(params.warning >= zero && params.flush_interval > zero && params.purge_interval > zero);
    let in_force = params.flush_interval_in_force();
    assert!(zero < in_force && in_force <= params.flush_interval);
    assert!(
        [params.delay, params.absolute_delay]
            .into_iter()
            .flatten()
            .all(|delay| in_force <= (delay / 10).max(TimeDelta::microseconds(1)))
    );
}

fn time(text: &[u8]) {
    let parsed = span::parse(text);
    assert_eq!(
        parsed,
        span::parse(&[b"\t ", text, b" \r\n"].concat()),
        "white space around it is ignored"
    );
    let Ok(span) = parsed else { return };
    let micros = span.num_microseconds().expect("a span is an i64 of microseconds");
    assert_eq!(span, TimeDelta::microseconds(micros), "a span has whole microseconds");
    if let Ok(ago) = span::parse(&[text, b" ago"].concat()) {
        assert!(
            ago == -span
                // Positive spans are never 0, negative ones may be.
                || span::is_lost_in_rounding(text)
                || span::is_lost_in_rounding(&[text, b" ago"].concat())
                || (micros == i64::MIN && ago == TimeDelta::microseconds(i64::MAX))
                || (micros == i64::MAX && ago == TimeDelta::microseconds(i64::MIN)),
            "{}: {span} and {ago} ago",
            text.escape_ascii()
        );
    }
}
