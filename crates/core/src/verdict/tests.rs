use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn seconds(s: i64) -> TimeDelta {
    TimeDelta::seconds(s)
}

fn micros(us: i64) -> TimeDelta {
    TimeDelta::microseconds(us)
}

fn session(idle_for: TimeDelta, age: TimeDelta) -> Session {
    Session {
        opened_at: NOW.saturating_add(-age),
        last_activity: NOW.saturating_add(-idle_for),
        idle_delay: None,
        absolute_delay: None,
    }
}

fn params(delay: i64, absolute: i64) -> Params {
    Params {
        delay: (delay > 0).then(|| seconds(delay)),
        absolute_delay: (absolute > 0).then(|| seconds(absolute)),
        ..Params::default()
    }
}

const TOUCHED: Judgement = Judgement::Valid {
    touch: true,
    ignored: false,
};
const LOOKED: Judgement = Judgement::Valid {
    touch: false,
    ignored: false,
};
const PASSED_OVER: Judgement = Judgement::Valid {
    touch: false,
    ignored: true,
};
const IDLE: Judgement = Judgement::Expired(Expiry::Idle);
const ABSOLUTE: Judgement = Judgement::Expired(Expiry::Absolute);

#[test]
fn the_idle_deadline_is_exact_to_the_microsecond() {
    let p = params(60, 0);
    let at = session(seconds(60), seconds(100));
    let past = session(seconds(60) + micros(1), seconds(100));
    assert_eq!(judge(&at, &p, Request::Counting, NOW), TOUCHED);
    assert_eq!(judge(&past, &p, Request::Counting, NOW), IDLE);
}

#[test]
fn the_absolute_deadline_is_exact_to_the_microsecond() {
    let p = params(0, 60);
    let at = session(seconds(0), seconds(60));
    let past = session(seconds(0), seconds(60) + micros(1));
    assert_eq!(judge(&at, &p, Request::Counting, NOW), TOUCHED);
    assert_eq!(judge(&past, &p, Request::Counting, NOW), ABSOLUTE);
}

#[test]
fn the_absolute_limit_is_named_before_the_idle_limit() {
    assert_eq!(
        judge(
            &session(seconds(99), seconds(99)),
            &params(60, 60),
            Request::Counting,
            NOW
        ),
        ABSOLUTE
    );
}

#[test]
fn skip_check_lets_an_idle_session_pass_but_never_touches_it() {
    let idle = session(seconds(61), seconds(100));
    assert_eq!(judge(&idle, &params(60, 0), Request::Ignored, NOW), PASSED_OVER);
}

#[test]
fn skip_check_holds_the_absolute_limit() {
    let old = session(seconds(1), seconds(61));
    assert_eq!(judge(&old, &params(0, 60), Request::Ignored, NOW), ABSOLUTE);
}

#[test]
fn no_refresh_evaluates_the_delay_without_a_touch() {
    let p = Params {
        ignored_url_mode: IgnoredUrlMode::NoRefresh,
        ..params(60, 0)
    };
    assert_eq!(
        judge(&session(seconds(61), seconds(61)), &p, Request::Ignored, NOW),
        IDLE
    );
    assert_eq!(
        judge(&session(seconds(60), seconds(61)), &p, Request::Ignored, NOW),
        PASSED_OVER
    );
}

#[test]
fn looking_evaluates_the_delay_without_a_touch() {
    assert_eq!(
        judge(&session(seconds(61), seconds(61)), &params(60, 0), Request::Look, NOW),
        IDLE
    );
    assert_eq!(
        judge(&session(seconds(1), seconds(61)), &params(60, 0), Request::Look, NOW),
        LOOKED
    );
}

#[test]
fn a_delay_that_is_off_keeps_an_idle_session() {
    let ages = TimeDelta::days(10_000);
    assert_eq!(
        judge(&session(ages, ages), &params(0, 0), Request::Counting, NOW),
        TOUCHED
    );
}

#[test]
fn own_limits_only_shorten() {
    let short = Session {
        idle_delay: Some(seconds(10)),
        ..session(seconds(11), seconds(11))
    };
    let long = Session {
        idle_delay: Some(seconds(1000)),
        ..session(seconds(61), seconds(61))
    };
    assert_eq!(judge(&short, &params(60, 0), Request::Counting, NOW), IDLE);
    assert_eq!(judge(&long, &params(60, 0), Request::Counting, NOW), IDLE);
    let short = Session {
        absolute_delay: Some(seconds(10)),
        ..session(seconds(0), seconds(11))
    };
    let long = Session {
        absolute_delay: Some(seconds(1000)),
        ..session(seconds(0), seconds(61))
    };
    assert_eq!(judge(&short, &params(60, 60), Request::Counting, NOW), ABSOLUTE);
    assert_eq!(judge(&long, &params(0, 60), Request::Counting, NOW), ABSOLUTE);
}

#[test]
fn own_limits_count_if_the_parameters_are_off() {
    let s = Session {
        idle_delay: Some(seconds(10)),
        absolute_delay: Some(seconds(20)),
        ..session(seconds(11), seconds(11))
    };
    assert_eq!(judge(&s, &params(0, 0), Request::Counting, NOW), IDLE);
    let s = Session {
        last_activity: NOW,
        opened_at: NOW.saturating_add(-seconds(21)),
        ..s
    };
    assert_eq!(judge(&s, &params(0, 0), Request::Counting, NOW), ABSOLUTE);
}

#[test]
fn activity_in_the_future_counts_as_now() {
    let ahead = Session {
        last_activity: NOW.saturating_add(seconds(1000)),
        ..session(seconds(0), seconds(0))
    };
    assert_eq!(
        Limits::of(&ahead, &params(60, 0)).expires_at(&ahead, NOW),
        Some(NOW.saturating_add(seconds(60)))
    );
}

#[test]
fn infinite_times_are_judged_without_overflow() {
    let forever = TimeDelta::microseconds(i64::MAX);
    let never = Session {
        last_activity: Timestamp::from_micros(i64::MIN),
        ..session(seconds(0), TimeDelta::days(1))
    };
    assert_eq!(judge(&never, &params(60, 0), Request::Counting, NOW), IDLE);
    let always = Session {
        last_activity: Timestamp::from_micros(i64::MAX),
        ..never
    };
    let p = Params {
        delay: Some(forever),
        absolute_delay: Some(forever),
        ..Params::default()
    };
    assert_eq!(judge(&always, &p, Request::Counting, NOW), TOUCHED);
    assert_eq!(
        Outlook::of(&always, &p, Status::Active, NOW).expires_at,
        Some(Timestamp::from_micros(i64::MAX))
    );
}

#[test]
fn the_nearer_end_is_returned_with_the_time_left() {
    let s = session(seconds(10), seconds(100));
    let outlook = Outlook::of(&s, &params(60, 120), Status::Active, NOW);
    assert_eq!(outlook.expires_at, Some(NOW.saturating_add(seconds(20))));
    assert_eq!(outlook.expires_in, Some(seconds(20)));
    let outlook = Outlook::of(&s, &params(25, 200), Status::Active, NOW);
    assert_eq!(outlook.expires_in, Some(seconds(15)));
    let none = Outlook {
        expires_at: None,
        expires_in: None,
        warn: false,
    };
    assert_eq!(Outlook::of(&s, &params(0, 0), Status::Active, NOW), none);
}

#[test]
fn warns_from_the_warning_time_on_and_only_while_valid() {
    let p = Params {
        warning: seconds(20),
        ..params(60, 0)
    };
    let warns = |idle, status| Outlook::of(&session(idle, seconds(100)), &p, status, NOW).warn;
    assert!(warns(seconds(40), Status::Active));
    assert!(!warns(seconds(40) - micros(1), Status::Active));
    assert!(!warns(seconds(61), Status::IdleExpired));
    let p = Params {
        warning: TimeDelta::zero(),
        ..p
    };
    assert!(!Outlook::of(&session(seconds(60), seconds(100)), &p, Status::Active, NOW).warn);
}

#[test]
fn a_touch_is_written_after_a_hundredth_of_the_delay_or_a_minute() {
    let due = |idle, p: &Params| touch_is_due(&session(idle, seconds(100)), p, NOW);
    assert!(!due(seconds(1), &params(100, 0)));
    assert!(due(seconds(1) + micros(1), &params(100, 0)));
    assert!(!due(seconds(60), &params(1_000_000, 0)));
    assert!(due(seconds(60) + micros(1), &params(1_000_000, 0)));
    assert!(!due(seconds(60), &params(0, 0)));
    assert!(due(seconds(61), &params(0, 0)));
}
