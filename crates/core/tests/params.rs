//! The parameters: names, defaults, what is read of a value, and what is refused.

use chrono::TimeDelta;
use session_timeout_core::params::{IgnoredUrlMode, Key, PREFIX, ParamError, Params, validate};

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

/// The defaults, with one parameter changed.
fn with(key: Key, value: &str) -> Params {
    let mut params = Params::default();
    params.set(key, value.as_bytes()).expect("the value is allowed");
    params
}

fn refusal(key: Key, value: &[u8]) -> ParamError {
    let error = Params::default().set(key, value).expect_err("the value is refused");
    assert_eq!(
        validate(key.name().as_bytes(), value),
        Err(error.clone()),
        "both ways say the same"
    );
    error
}

/// The message of a refused value.
fn invalid(key: Key, value: &str, reason: &str) -> String {
    format!("invalid value \"{value}\" for parameter \"{}\": {reason}", key.name())
}

#[test]
fn names_and_default_values_are_those_documented() {
    let documented = [
        ("inactive_session_time_out_delay", "7200"),
        (
            "inactive_session_time_out_ignored_url",
            "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
        ),
        ("inactive_session_time_out_ignored_url_mode", "skip_check"),
        ("inactive_session_time_out_absolute_delay", "0"),
        ("inactive_session_time_out_warning", "300"),
        ("inactive_session_time_out_flush_interval", "60"),
        ("inactive_session_time_out_notices", "on"),
        ("inactive_session_time_out_purge_interval", "60"),
        ("inactive_session_time_out_event_retention", "30 days"),
    ];
    assert_eq!(Key::ALL.map(|key| (key.name(), key.default_value())), documented);
    assert!(Key::ALL.iter().all(|key| key.name().starts_with(PREFIX)));
}

#[test]
fn every_default_value_is_allowed() {
    for key in Key::ALL {
        assert_eq!(
            validate(key.name().as_bytes(), key.default_value().as_bytes()),
            Ok(()),
            "{key:?}"
        );
    }
}

#[test]
fn the_defaults_are_what_their_texts_say() {
    let params = Params::default();
    assert_eq!(params.delay, Some(seconds(7200)));
    assert!(params.ignored_urls.matches(b"/websocket"));
    assert_eq!(params.ignored_url_mode, IgnoredUrlMode::SkipCheck);
    assert_eq!(params.absolute_delay, None);
    assert_eq!(params.warning, seconds(300));
    assert_eq!(params.flush_interval, seconds(60));
    assert!(params.notices);
    assert_eq!(params.purge_interval, seconds(60));
    assert_eq!(params.event_retention, Some(seconds(30 * 86_400)));
}

#[test]
fn notices_are_on_or_off() {
    assert!(!with(Key::Notices, "off").notices);
    assert!(with(Key::Notices, " on ").notices);
    for value in ["", "yes", "ON", "0"] {
        assert!(
            validate(Key::Notices.name().as_bytes(), value.as_bytes()).is_err(),
            "{value}"
        );
    }
}

#[test]
fn a_name_is_found() {
    for key in Key::ALL {
        assert_eq!(Key::from_name(key.name().as_bytes()), Ok(Some(key)));
    }
}

#[test]
fn another_ones_key_takes_any_value() {
    for key in [
        "",
        "web.base.url",
        "inactive_session_time_out",
        "Inactive_session_time_out_delay",
        " inactive_session_time_out_x",
    ] {
        assert_eq!(Key::from_name(key.as_bytes()), Ok(None), "{key}");
        assert_eq!(validate(key.as_bytes(), b"\xff"), Ok(()), "{key}");
    }
}

#[test]
fn a_key_of_ours_that_does_not_exist_is_refused_and_the_hint_lists_those_that_do() {
    for (name, shown) in [
        (b"inactive_session_time_out_".as_slice(), r"inactive_session_time_out_"),
        (b"inactive_session_time_out_dealy", "inactive_session_time_out_dealy"),
        (b"inactive_session_time_out_Delay", "inactive_session_time_out_Delay"),
        (b"inactive_session_time_out_delay ", "inactive_session_time_out_delay "),
        (b"inactive_session_time_out_\xe9", r"inactive_session_time_out_\xe9"),
    ] {
        let error = validate(name, b"7200").expect_err("there is no such parameter");
        assert_eq!(error.message(), format!("there is no parameter \"{shown}\""));
        for key in Key::ALL {
            assert!(error.hint().contains(key.name()), "{key:?} is not in the hint");
        }
    }
}

#[test]
fn a_key_that_is_almost_ours_is_taken_for_misspelled() {
    for (name, meant) in [
        (
            "inactive_session_timeout_delay",
            Some("inactive_session_time_out_delay"),
        ),
        (
            "Inactive_Session_Time_Out_Delay",
            Some("inactive_session_time_out_delay"),
        ),
        (
            " inactive-session-timeout.ignored_url_mode ",
            Some("inactive_session_time_out_ignored_url_mode"),
        ),
        ("inactive_session_timeout_dely", None),
        ("inactive_session_timeout\u{e9}", None),
    ] {
        let said = Key::misspelled(name.as_bytes()).expect("it is almost ours");
        assert!(
            said.message.is_ascii() && said.message.contains("has no effect"),
            "{said:?}"
        );
        match meant {
            Some(meant) => assert_eq!(said.hint, format!("Perhaps you meant \"{meant}\".")),
            None => assert!(Key::ALL.iter().all(|key| said.hint.contains(key.name())), "{said:?}"),
        }
    }
    for name in [
        "",
        "delay",
        "web.base.url",
        "inactive_session",
        "sessions.inactive_session_time_out_delay",
        "inactive_session_time_out_delay",
        "inactive_session_time_out_dely",
    ] {
        assert_eq!(Key::misspelled(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn each_parameter_sets_its_own_field() {
    assert_eq!(with(Key::Delay, "15 minutes").delay, Some(seconds(900)));
    assert!(with(Key::IgnoredUrl, "/a/*").ignored_urls.matches(b"/a/b"));
    assert_eq!(
        with(Key::IgnoredUrlMode, "no_refresh").ignored_url_mode,
        IgnoredUrlMode::NoRefresh
    );
    assert_eq!(with(Key::AbsoluteDelay, "8h").absolute_delay, Some(seconds(28_800)));
    assert_eq!(with(Key::Warning, "1 minute").warning, seconds(60));
    assert_eq!(with(Key::FlushInterval, "5").flush_interval, seconds(5));
    assert_eq!(with(Key::PurgeInterval, "00:10").purge_interval, seconds(600));
    assert_eq!(
        with(Key::EventRetention, "1 mon").event_retention,
        Some(seconds(30 * 86_400))
    );
}

#[test]
fn a_delay_of_zero_or_less_is_off() {
    for value in [
        "0",
        "-1",
        "-1 day",
        "1 hour ago",
        "-0.0000001",
        "0.0000001 s ago",
        "-0.04 years",
        "-99999999999999999999 years",
    ] {
        assert_eq!(with(Key::Delay, value).delay, None, "{value}");
        assert_eq!(with(Key::AbsoluteDelay, value).absolute_delay, None, "{value}");
    }
    assert_eq!(with(Key::Delay, "1 us").delay, Some(TimeDelta::microseconds(1)));
}

#[test]
fn a_retention_of_zero_keeps_no_events_and_a_warning_of_zero_is_allowed() {
    assert_eq!(with(Key::EventRetention, "0").event_retention, None);
    assert_eq!(with(Key::Warning, "0").warning, TimeDelta::zero());
}

#[test]
fn an_empty_list_of_urls_is_allowed() {
    assert!(!with(Key::IgnoredUrl, "").ignored_urls.matches(b"/websocket"));
}

#[test]
fn white_space_around_a_value_says_nothing() {
    assert_eq!(
        with(Key::IgnoredUrlMode, " no_refresh\n").ignored_url_mode,
        IgnoredUrlMode::NoRefresh
    );
    assert_eq!(with(Key::Delay, "\t60 ").delay, Some(seconds(60)));
}

#[test]
fn what_is_no_time_is_refused_wherever_a_time_is_wanted() {
    let times = Key::ALL.into_iter().filter(|key| key.is_time());
    for key in times {
        for (value, shown, reason) in [
            (b"15 minuts".as_slice(), "15 minuts", "\"minuts\" is not a unit of time"),
            (b"", "", "it is empty"),
            (b"1 h 2 h", "1 h 2 h", "hours are given twice"),
            (b"1,5", "1,5", "it is neither a number of seconds nor an interval"),
            (b"\xe9", r"\xe9", "it is neither a number of seconds nor an interval"),
        ] {
            let error = refusal(key, value);
            assert_eq!(error.message(), invalid(key, shown, reason));
            assert_eq!(error.to_string(), error.message(), "the display is the message");
            assert!(
                error.hint().starts_with("Specify a number of seconds or an interval")
                    && error.hint().contains("for example")
            );
        }
    }
}

#[test]
fn a_negative_warning_or_retention_is_refused() {
    for key in [Key::Warning, Key::EventRetention] {
        let error = refusal(key, b"-1");
        assert_eq!(error.message(), invalid(key, "-1", "it must not be negative"));
        assert!(error.hint().contains("0 or more"));
    }
}

#[test]
fn an_interval_between_runs_must_be_positive() {
    for key in [Key::FlushInterval, Key::PurgeInterval] {
        for value in ["0", "-1", "-0.0000001", "1 minute ago"] {
            let error = refusal(key, value.as_bytes());
            assert_eq!(error.message(), invalid(key, value, "it must be greater than 0"));
            assert!(error.hint().contains("greater than 0"));
        }
    }
}

/// Positive, and 0 when rounded.
const TOO_SHORT: [&str; 7] = [
    "0.0000001",
    "0.4 microseconds",
    "0.04 years",
    "00:00:00.0000004",
    "PT0.0000001S",
    "-0.0000004 s ago",
    "1 month -30 days 0.0000001 s",
];

#[test]
fn a_positive_time_that_would_be_rounded_to_zero_is_refused_when_it_is_written() {
    let times = Key::ALL.into_iter().filter(|key| key.is_time());
    for key in times {
        for value in TOO_SHORT {
            let error = validate(key.name().as_bytes(), value.as_bytes()).expect_err(value);
            assert_eq!(
                error.message(),
                invalid(key, value, "it is greater than 0 but would be rounded to 0")
            );
            assert!(error.hint().starts_with("Specify a number of seconds or an interval"));
        }
    }
}

#[test]
fn such_a_time_in_a_row_of_an_earlier_version_switches_nothing_off() {
    let shortest = TimeDelta::microseconds(1);
    for value in TOO_SHORT {
        assert_eq!(with(Key::Delay, value).delay, Some(shortest), "{value}");
        assert_eq!(
            with(Key::AbsoluteDelay, value).absolute_delay,
            Some(shortest),
            "{value}"
        );
        assert_eq!(with(Key::Warning, value).warning, shortest, "{value}");
        assert_eq!(
            with(Key::EventRetention, value).event_retention,
            Some(shortest),
            "{value}"
        );
    }
}

#[test]
fn another_mode_is_refused() {
    for value in ["", "Skip_check", "skip check", "skip_check,no_refresh", "0"] {
        let error = refusal(Key::IgnoredUrlMode, value.as_bytes());
        assert_eq!(
            error.message(),
            invalid(Key::IgnoredUrlMode, value, "it must be skip_check or no_refresh")
        );
        assert!(error.hint().contains("skip_check") && error.hint().contains("no_refresh"));
    }
}

#[test]
fn a_url_that_is_no_path_is_refused() {
    let error = refusal(Key::IgnoredUrl, b"/a,http://host/b");
    assert_eq!(
        error.message(),
        "invalid value for parameter \"inactive_session_time_out_ignored_url\": \
         entry \"http://host/b\" must begin with / or *"
    );
    assert!(error.hint().contains("for example /longpolling/*"));
}

#[test]
fn a_refused_value_changes_nothing() {
    let mut params = with(Key::Delay, "60");
    assert!(params.set(Key::Delay, b"abc").is_err());
    assert_eq!(params.delay, Some(seconds(60)));
}

#[test]
fn a_long_value_is_shortened_in_the_message() {
    let error = refusal(Key::Delay, &[b'\xff'; 100_000]);
    assert!(
        error.message().len() < 200 && error.message().contains("..."),
        "{}",
        error.message()
    );
}

#[test]
fn the_flush_interval_in_force_is_at_most_a_tenth_of_the_shortest_delay() {
    for (delay, absolute, flush, in_force) in [
        ("7200", "0", "60", 60_000),
        ("600", "0", "60", 60_000),
        ("599", "0", "60", 59_900),
        ("60", "0", "60", 6_000),
        ("60", "0", "1", 1_000),
        ("7200", "30", "60", 3_000),
        ("30", "7200", "60", 3_000),
        ("0", "10", "60", 1_000),
        ("0", "0", "60", 60_000),
        ("-1", "0", "1 day", 86_400_000),
    ] {
        let mut params = with(Key::Delay, delay);
        params.set(Key::AbsoluteDelay, absolute.as_bytes()).expect("allowed");
        params.set(Key::FlushInterval, flush.as_bytes()).expect("allowed");
        assert_eq!(
            params.flush_interval_in_force(),
            TimeDelta::milliseconds(in_force),
            "delay {delay}, absolute delay {absolute}, flush interval {flush}"
        );
    }
}

#[test]
fn the_flush_interval_in_force_is_positive_for_the_shortest_delay() {
    for delay in ["1 us", "9 us", "10 us", "19 us"] {
        let in_force = with(Key::Delay, delay).flush_interval_in_force();
        assert_eq!(in_force.num_microseconds(), Some(1), "{delay}");
    }
}
