//! Which texts are spans of time, and how long.

use chrono::TimeDelta;
use session_timeout_core::span::{self, SpanError};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;

/// Text and microseconds.
type Case = (&'static str, i64);

fn check(cases: &[Case]) {
    for &(text, micros) in cases {
        assert_eq!(
            span::parse(text.as_bytes()),
            Ok(TimeDelta::microseconds(micros)),
            "{text}"
        );
    }
}

#[test]
fn a_number_alone_is_seconds() {
    check(&[
        ("7200", 2 * HOUR),
        ("0", 0),
        ("-0", 0),
        ("-1", -SECOND),
        ("+5", 5 * SECOND),
        ("0.5", SECOND / 2),
        (".5", SECOND / 2),
        ("-.5", -SECOND / 2),
        ("5.", 5 * SECOND),
        ("007", 7 * SECOND),
        (" \t60\r\n", MINUTE),
        ("1 hour 5", HOUR + 5 * SECOND),
    ]);
}

#[test]
fn numbers_with_units_add_up() {
    check(&[
        ("15 minutes", 15 * MINUTE),
        ("1 hour 30 min", 90 * MINUTE),
        ("2 hrs", 2 * HOUR),
        ("30 days", 30 * DAY),
        ("3 weeks", 21 * DAY),
        ("1 year 2 mons", 14 * MONTH),
        ("1 year", 360 * DAY),
        ("5minutes", 5 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1w2d3h4m5s", 9 * DAY + 3 * HOUR + 4 * MINUTE + 5 * SECOND),
        ("1m", MINUTE),
        ("1M", MINUTE),
        ("1 mon 1 m", MONTH + MINUTE),
        ("@ 1 day", DAY),
        ("@1 day", DAY),
        ("1 day, 2 hours", DAY + 2 * HOUR),
        ("30 min 1 hour", 90 * MINUTE),
        ("5 HOURS 3 Sec", 5 * HOUR + 3 * SECOND),
        ("1 sec 5 ms 7 us", SECOND + 5_007),
    ]);
}

#[test]
fn every_spelling_of_postgresql_is_known() {
    let spellings = [
        (1, "us usec usecs usecond useconds microsecond microseconds"),
        (1_000, "ms msec msecs msecond mseconds millisecond milliseconds"),
        (SECOND, "s sec secs second seconds"),
        (MINUTE, "m min mins minute minutes"),
        (HOUR, "h hr hrs hour hours"),
        (DAY, "d day days"),
        (7 * DAY, "w week weeks"),
        (MONTH, "mon mons month months"),
        (12 * MONTH, "y yr yrs year years"),
    ];
    for (micros, words) in spellings {
        for word in words.split(' ') {
            let expected = Ok(TimeDelta::microseconds(3 * micros));
            for text in [
                format!("3 {word}"),
                format!("3{word}"),
                format!("3 {}", word.to_uppercase()),
            ] {
                assert_eq!(span::parse(text.as_bytes()), expected, "{text}");
            }
        }
    }
}

#[test]
fn a_clock_is_hours_and_minutes() {
    check(&[
        ("01:30:00", 90 * MINUTE),
        ("90:00", 90 * HOUR),
        ("1:5", HOUR + 5 * MINUTE),
        ("00:00:00.000001", 1),
        (
            "1 mon 2 days 03:04:05.678",
            MONTH + 2 * DAY + 3 * HOUR + 4 * MINUTE + 5_678_000,
        ),
        ("30:00.5", 30 * MINUTE + SECOND / 2),
        ("00:59:60", HOUR),
        ("1 02:03", DAY + 2 * HOUR + 3 * MINUTE),
        ("1 day, 2:00:00", DAY + 2 * HOUR),
        ("100000:00:00", 100_000 * HOUR),
        ("1 2 hours", DAY + 2 * HOUR),
    ]);
}

#[test]
fn a_sign_applies_to_its_own_field() {
    check(&[
        ("-00:05:00", -5 * MINUTE),
        ("-1 hour 30 minutes", -30 * MINUTE),
        ("1 hour -30 minutes", 30 * MINUTE),
        ("-1 02:00", -DAY + 2 * HOUR),
        ("1 day -00:00:01", DAY - SECOND),
        (
            "-1 mons +2 days -03:04:05",
            -MONTH + 2 * DAY - 3 * HOUR - 4 * MINUTE - 5 * SECOND,
        ),
        ("-1.5 hours", -90 * MINUTE),
        ("1 day ago", -DAY),
        ("@ 1 day -2 hours ago", -DAY + 2 * HOUR),
        ("-5 minutes AGO", 5 * MINUTE),
        ("01:30 ago", -90 * MINUTE),
    ]);
}

#[test]
fn iso_8601_with_designators() {
    check(&[
        ("P1DT2H3M", DAY + 2 * HOUR + 3 * MINUTE),
        (
            "P1Y2M3W4DT5H6M7.5S",
            14 * MONTH + 25 * DAY + 5 * HOUR + 6 * MINUTE + 7_500_000,
        ),
        ("PT15M", 15 * MINUTE),
        ("P1M", MONTH),
        ("P-1DT+1H", -DAY + HOUR),
        (" P1.5D ", 36 * HOUR),
    ]);
}

#[test]
fn fractions_are_exact_but_for_years() {
    check(&[
        ("1.5 hours", 90 * MINUTE),
        ("0.1 day", DAY / 10),
        ("1.5 months", 45 * DAY),
        ("0.7 mons", 21 * DAY),
        ("0.5 weeks", 84 * HOUR),
        ("1.5 years", 18 * MONTH),
        ("1.04 years", 12 * MONTH),
        ("1.05 years", 13 * MONTH),
        ("1.125 years", 14 * MONTH),
        ("1.375 years", 16 * MONTH),
        ("0.0000014", 1),
        ("0.0000016", 2),
        ("-0.0000016", -2),
        ("0.9999999", SECOND),
        ("1.000000000000000000000000000000000000001", SECOND),
    ]);
}

/// PostgreSQL reads each of these as 0 or less.
#[test]
fn a_positive_span_is_never_rounded_to_nothing() {
    let tiny = format!("0.{}1 us", "0".repeat(1000));
    for text in [
        "0.0000004",
        "0.0000005",
        "0.5 us",
        "0.04 years",
        "P0.04Y",
        "PT0.0000001S",
        "00:00:00.0000004",
        "-0.0000004 s ago",
        "1 day -24 hours 0.1 us",
        "0.04 years -1 day",
        &tiny,
    ] {
        assert!(span::is_lost_in_rounding(text.as_bytes()), "{text}");
        assert_eq!(span::parse(text.as_bytes()), Ok(TimeDelta::microseconds(1)), "{text}");
    }
    for text in [
        "0",
        "-0.0000004",
        "0.0000004 s ago",
        "-0.04 years",
        "1 day -24 hours",
        "0.000001",
        "0.0000006",
        "x",
    ] {
        assert!(!span::is_lost_in_rounding(text.as_bytes()), "{text}");
    }
    check(&[("-0.0000004", 0), ("-0.04 years", 0), ("0.1 us -0.1 ms", -100)]);
}

#[test]
fn what_is_too_large_is_the_largest_or_smallest_span() {
    let digits = "9".repeat(100_000);
    for (text, micros) in [
        ("9223372036854775807 us".to_owned(), i64::MAX),
        ("9223372036854775808 us".to_owned(), i64::MAX),
        ("-9223372036854775808 us".to_owned(), i64::MIN),
        ("18446744073709551620 us".to_owned(), i64::MAX),
        ("9223372036854.775807".to_owned(), i64::MAX),
        ("9223372036854.775808".to_owned(), i64::MAX),
        ("999999999999999999999999".to_owned(), i64::MAX),
        ("-999999999999999999999999 years".to_owned(), i64::MIN),
        ("999999999999999999999999 years ago".to_owned(), i64::MIN),
        ("99999999999999999999:59:59".to_owned(), i64::MAX),
        ("P99999999999999999999Y99999999999999999999M".to_owned(), i64::MAX),
        (digits.clone(), i64::MAX),
        (format!("-{digits} mons -{digits} days -{digits}:00"), i64::MIN),
        (format!("0.{digits}"), SECOND),
    ] {
        let shown = &text[..text.len().min(60)];
        assert_eq!(
            span::parse(text.as_bytes()),
            Ok(TimeDelta::microseconds(micros)),
            "{shown}"
        );
    }
}

#[test]
fn nothing_is_no_span() {
    for text in ["", " ", "\t\r\n"] {
        assert_eq!(span::parse(text.as_bytes()), Err(SpanError::Empty), "{text:?}");
    }
}

#[test]
fn a_word_that_is_no_unit_is_named() {
    for (text, word) in [
        ("15 minuts", "minuts"),
        ("infinity", "infinity"),
        ("NaN", "NaN"),
        ("1e3", "e"),
        ("0x10", "x"),
        ("1 century", "century"),
        ("2 decades", "decades"),
        ("1 quarter", "quarter"),
        ("p1d", "p"),
        ("5 microsecondzzz", "microsecondzzz"),
        ("1 day ago 2 hours", "ago"),
    ] {
        // What is wrong first, read from the right: that of p1d is the p, once the d has its number.
        let expected = if text == "p1d" { "p" } else { word };
        assert_eq!(
            span::parse(text.as_bytes()),
            Err(SpanError::UnknownUnit(expected.to_owned())),
            "{text}"
        );
    }
}

#[test]
fn a_unit_given_twice_is_refused() {
    for (text, units) in [
        ("1 hour 2 hours", "hours"),
        ("1 2", "seconds"),
        ("1 2 days", "days"),
        ("01:00 1 min", "minutes"),
        ("1 hour 01:00", "hours"),
        ("01:00 02:00", "hours"),
        ("1.5 sec 5 ms", "milliseconds"),
        ("P1D1D", "days"),
    ] {
        assert_eq!(span::parse(text.as_bytes()), Err(SpanError::Repeated(units)), "{text}");
    }
}

#[test]
fn everything_else_is_refused() {
    let many = "1 s ".repeat(1_000_000);
    for text in [
        "minutes",
        "ago",
        "@",
        "+",
        "-",
        ".",
        ":",
        "-infinity",
        "- 5",
        "5 ago",
        "1 hour hour",
        "1 hour minutes",
        "minutes 5",
        "hours 1 day",
        "1-2",
        "1+2 hours",
        "1-2 hours",
        "1h-30m",
        "1,5 hours",
        "7,200",
        "1.2.3",
        "1..2",
        "1_000",
        "5 %",
        "(5)",
        "5 minutes!",
        "1 day @",
        "01:",
        ":30",
        "01::5",
        "01:60",
        "01:02:61",
        "1:2:3:4",
        "90:00.5",
        "01:30 hours",
        "1.5:00",
        "2024-01-01",
        "P",
        "PT",
        "P1DT",
        "P1",
        "P1H",
        "PT1D",
        "P1DT2H ago",
        "P 1D",
        "PP1D",
        "P1DTT1H",
        "P0001-02-03T04:05:06",
        "P1e2D",
        "5\u{a0}minutes",
        "\u{ff11}",
        "5 minutes\u{e9}",
        "5\0",
        many.as_str(),
    ] {
        let shown = &text[..text.len().min(20)];
        assert_eq!(span::parse(text.as_bytes()), Err(SpanError::Malformed), "{shown:?}");
    }
    for bytes in [b"\xff".as_slice(), b"5\xa0minutes", b"\xe9"] {
        assert_eq!(
            span::parse(bytes),
            Err(SpanError::Malformed),
            "{}",
            bytes.escape_ascii()
        );
    }
}
