//! What a check answers: a function of the session, the parameters, the request and the time.
//!
//! The order is the contract's: the absolute limit first, for ignored URLs too; then the ignored URL; then the idle
//! limit; then the touch. Nothing is written here: the caller carries out what [`judge`] says.

use chrono::TimeDelta;

use crate::params::{IgnoredUrlMode, Params};
use crate::time::Timestamp;

/// What a check needs to know of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// When it was opened, or last re-authenticated.
    pub opened_at: Timestamp,
    /// When it was last used by a request that counted.
    pub last_activity: Timestamp,
    /// Its own idle limit, positive.
    pub idle_delay: Option<TimeDelta>,
    /// Its own absolute limit, positive.
    pub absolute_delay: Option<TimeDelta>,
}

/// The limits in force for one session. `None`: no such limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may be idle.
    pub idle: Option<TimeDelta>,
    /// How long it may live, active or not.
    pub absolute: Option<TimeDelta>,
}

impl Limits {
    /// A session's own limits can only shorten what the parameters allow, and count where those are off.
    pub fn of(session: &Session, params: &Params) -> Self {
        Self {
            idle: shorter(params.delay, session.idle_delay),
            absolute: shorter(params.absolute_delay, session.absolute_delay),
        }
    }

    /// When the session ends if nothing more happens; `None` with no limit in force.
    pub fn expires_at(&self, session: &Session, now: Timestamp) -> Option<Timestamp> {
        let idle = self
            .idle
            .map(|delay| effective_activity(session, now).saturating_add(delay));
        let absolute = self.absolute.map(|delay| session.opened_at.saturating_add(delay));
        match (idle, absolute) {
            (Some(idle), Some(absolute)) => Some(idle.min(absolute)),
            (one, other) => one.or(other),
        }
    }

    /// Which limit the session has passed by `now`. Exactly at a deadline it is still valid.
    fn passed(&self, session: &Session, now: Timestamp) -> Option<Expiry> {
        self.absolute_passed(session, now)
            .or_else(|| self.idle_passed(session, now))
    }

    fn absolute_passed(&self, session: &Session, now: Timestamp) -> Option<Expiry> {
        self.absolute
            .is_some_and(|delay| session.opened_at.saturating_add(delay) < now)
            .then_some(Expiry::Absolute)
    }

    fn idle_passed(&self, session: &Session, now: Timestamp) -> Option<Expiry> {
        self.idle
            .is_some_and(|delay| effective_activity(session, now).saturating_add(delay) < now)
            .then_some(Expiry::Idle)
    }
}

fn shorter(one: Option<TimeDelta>, other: Option<TimeDelta>) -> Option<TimeDelta> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether one of a session's clocks is later than now: the server's clock has been set back, or a row was written so by
/// hand. While that lasts, the session is as if it had just been used, or opened: its clocks are to be set to now. Not for a
/// second: another machine's clock, from which a row was replicated, may differ by that.
pub fn has_clock_skew(session: &Session, now: Timestamp) -> bool {
    let latest = now.saturating_add(TimeDelta::seconds(1));
    session.last_activity > latest || session.opened_at > latest
}

/// Activity counts as no later than now: a clock set back keeps nobody in.
fn effective_activity(session: &Session, now: Timestamp) -> Timestamp {
    session.last_activity.min(now)
}

/// What asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A request that counts as activity.
    Counting,
    /// A request to an ignored URL: it never touches.
    Ignored,
    /// Nobody's request (peek, purge, rotation): the limits are evaluated, nothing is touched.
    Look,
}

/// Why a session ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Idle for longer than its idle limit.
    Idle,
    /// Older than its absolute limit.
    Absolute,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Valid.
    Valid {
        /// Whether activity moves forward to now.
        touch: bool,
        /// Whether the request's URL is ignored.
        ignored: bool,
    },
    /// Past a limit.
    Expired(Expiry),
}

/// Judges an open session at `now`.
pub fn judge(session: &Session, params: &Params, request: Request, now: Timestamp) -> Judgement {
    let limits = Limits::of(session, params);
    let ignored = request == Request::Ignored;
    let passed = if ignored && params.ignored_url_mode == IgnoredUrlMode::SkipCheck {
        limits.absolute_passed(session, now)
    } else {
        limits.passed(session, now)
    };
    match passed {
        Some(expiry) => Judgement::Expired(expiry),
        None => Judgement::Valid {
            touch: request == Request::Counting,
            ignored,
        },
    }
}

/// The `status` of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Open and within its limits.
    Active,
    /// Valid on an ignored URL.
    Ignored,
    /// Ended: idle for too long.
    IdleExpired,
    /// Ended: too old.
    AbsoluteExpired,
    /// Ended: closed or revoked, while that is still known.
    Closed,
    /// Not open, and nothing more is known.
    Unknown,
}

impl Status {
    /// Its name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ignored => "ignored",
            Self::IdleExpired => "idle_expired",
            Self::AbsoluteExpired => "absolute_expired",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a session of this status is let in.
    pub fn is_valid(self) -> bool {
        matches!(self, Self::Active | Self::Ignored)
    }
}

impl From<Expiry> for Status {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Idle => Self::IdleExpired,
            Expiry::Absolute => Self::AbsoluteExpired,
        }
    }
}

impl From<Judgement> for Status {
    fn from(judgement: Judgement) -> Self {
        match judgement {
            Judgement::Valid { ignored: true, .. } => Self::Ignored,
            Judgement::Valid { ignored: false, .. } => Self::Active,
            Judgement::Expired(expiry) => expiry.into(),
        }
    }
}

/// How long a session has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// When it ends if nothing more happens; `None` with no limit in force.
    pub expires_at: Option<Timestamp>,
    /// How long that is from now; negative where it is past.
    pub expires_in: Option<TimeDelta>,
    /// Whether it is valid and ends within the `warning` parameter's time.
    pub warn: bool,
}

impl Outlook {
    /// The outlook of a session as it stands, after a touch where there was one.
    pub fn of(session: &Session, params: &Params, status: Status, now: Timestamp) -> Self {
        let expires_at = Limits::of(session, params).expires_at(session, now);
        let expires_in = expires_at.map(|end| end.since(now));
        let warn = status.is_valid()
            && params.warning > TimeDelta::zero()
            && expires_in.is_some_and(|left| left <= params.warning);
        Self {
            expires_at,
            expires_in,
            warn,
        }
    }
}

/// Whether a touch is worth a write of the row: without the registry, activity is written only when it is older than
/// a hundredth of the idle limit, and 60 s at most; or when it is [ahead](has_clock_skew).
pub fn touch_is_due(session: &Session, params: &Params, now: Timestamp) -> bool {
    let most = TimeDelta::seconds(60);
    let granularity = Limits::of(session, params)
        .idle
        .map_or(most, |delay| (delay / 100).min(most));
    has_clock_skew(session, now) || now.since(session.last_activity) > granularity
}

#[cfg(test)]
mod tests {
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
    fn own_limits_count_where_the_parameters_are_off() {
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
    fn the_nearer_end_is_told_with_the_time_left() {
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
    fn a_touch_is_written_after_a_hundredth_of_the_delay_and_a_minute_at_most() {
        let due = |idle, p: &Params| touch_is_due(&session(idle, seconds(100)), p, NOW);
        assert!(!due(seconds(1), &params(100, 0)));
        assert!(due(seconds(1) + micros(1), &params(100, 0)));
        assert!(!due(seconds(60), &params(1_000_000, 0)));
        assert!(due(seconds(60) + micros(1), &params(1_000_000, 0)));
        assert!(!due(seconds(60), &params(0, 0)));
        assert!(due(seconds(61), &params(0, 0)));
    }
}
