//! What holds for all spans: what PostgreSQL prints is read back as the same.

use std::fmt::Write;

use chrono::TimeDelta;
use proptest::prelude::*;
use session_timeout_core::span;

const DAY: i128 = 86_400_000_000;

/// An interval as PostgreSQL prints it under `IntervalStyle = postgres`.
fn postgres(months: i32, days: i32, micros: i64) -> String {
    let mut text = String::new();
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value != 0 {
            let space = if text.is_empty() { "" } else { " " };
            let sign = if after_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            write!(text, "{space}{sign}{value} {unit}{plural}").expect("a string takes all");
            after_negative = value < 0;
        }
    }
    if text.is_empty() || micros != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if after_negative {
            "+"
        } else {
            ""
        };
        let (seconds, fraction) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(text, "{space}{sign}{hours:02}:{minutes:02}:{seconds:02}").expect("a string takes all");
        if fraction != 0 {
            text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
        }
    }
    text
}

/// The span that it is, by 30-day months, saturated.
fn expected(months: i32, days: i32, micros: i64) -> TimeDelta {
    let micros = (i128::from(months) * 30 + i128::from(days)) * DAY + i128::from(micros);
    TimeDelta::microseconds(i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX }))
}

/// All sizes of numbers, as often small as large.
fn any_size() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

fn any_size_i32() -> impl Strategy<Value = i32> {
    (any::<i32>(), 0..32_u32).prop_map(|(value, shift)| value >> shift)
}

#[test]
fn the_printer_of_this_test_prints_what_postgresql_does() {
    for (months, days, micros, text) in [
        (0, 0, 0, "00:00:00"),
        (14, 3, 14_706_500_000, "1 year 2 mons 3 days 04:05:06.5"),
        (-1, 2, -11_045_000_000, "-1 mons +2 days -03:04:05"),
        (0, -1, 1, "-1 days +00:00:00.000001"),
        (-14, 0, 3_600_000_000, "-1 years -2 mons +01:00:00"),
        (0, 0, i64::MIN, "-2562047788:00:54.775808"),
    ] {
        assert_eq!(postgres(months, days, micros), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_postgresql_prints_is_read_back_the_same(
        months in any_size_i32(), days in any_size_i32(), micros in any_size(),
    ) {
        let text = postgres(months, days, micros);
        prop_assert_eq!(span::parse(text.as_bytes()), Ok(expected(months, days, micros)), "{}", text);
    }

    #[test]
    fn a_number_of_seconds_is_read_back_the_same(micros in any_size()) {
        let sign = if micros < 0 { "-" } else { "" };
        let micros_abs = micros.unsigned_abs();
        let text = format!("{sign}{}.{:06}", micros_abs / 1_000_000, micros_abs % 1_000_000);
        prop_assert_eq!(span::parse(text.as_bytes()), Ok(TimeDelta::microseconds(micros)), "{}", text);
    }

    #[test]
    fn a_number_is_the_same_in_any_unit_that_holds_it(count in -100_000..100_000_i64) {
        let seconds = |unit: &str| span::parse(format!("{count} {unit}").as_bytes());
        for (large, small, factor) in [
            ("years", "months", 12), ("months", "days", 30), ("weeks", "days", 7), ("days", "hours", 24),
            ("hours", "minutes", 60), ("minutes", "s", 60), ("s", "ms", 1000), ("ms", "us", 1000),
        ] {
            prop_assert_eq!(seconds(large), span::parse(format!("{} {small}", count * factor).as_bytes()));
        }
    }

    #[test]
    fn iso_8601_says_the_same_as_words(
        days in -9999..9999_i32, hours in -9999..9999_i32, seconds in -9999..9999_i32, millis in 0..1000,
    ) {
        let iso = format!("P{days}DT{hours}H{seconds}.{millis:03}S");
        let words = format!("{days} days {hours} hours {seconds}.{millis:03} seconds");
        prop_assert!(span::parse(iso.as_bytes()).is_ok());
        prop_assert_eq!(span::parse(iso.as_bytes()), span::parse(words.as_bytes()));
    }

    #[test]
    fn no_text_is_a_panic(text in "[-+0-9.:@, PTYMDHSa-z]{0,40}") {
        let _ = span::parse(text.as_bytes());
    }
}
