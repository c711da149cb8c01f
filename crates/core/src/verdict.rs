//! What a check answers: a function of the session, the parameters, the request and the time.
//!
//! [`judge`] applies the rules in the contract's order: the absolute limit first, for ignored URLs too; then the ignored URL;
//! then the idle limit; then the touch. It writes nothing: the caller carries out what it returns.

use chrono::TimeDelta;

use crate::params::{IgnoredUrlMode, Params};
use crate::time::Timestamp;

/// What a check needs to know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// When it logged in, or last re-authenticated.
    pub opened_at: Timestamp,
    /// When a request that counts as activity last used it.
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
    /// A session's own limits can only shorten those of the parameters, and count if those are off.
    pub fn of(session: &Session, params: &Params) -> Self {
        Self {
            idle: shorter(params.delay, session.idle_delay),
            absolute: shorter(params.absolute_delay, session.absolute_delay),
        }
    }

    /// When the session ends if nothing more happens; `None` if no limit is in force.
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

/// Whether one of a session's clocks is later than now, by more than a second: the server's clock was set back, or somebody
/// wrote the row by hand. As long as that lasts, the session counts as just used, or just logged in, so its clocks must be set
/// to now. A second is tolerated, since a replicated row has the clock of another machine.
pub fn has_clock_skew(session: &Session, now: Timestamp) -> bool {
    let latest = now.saturating_add(TimeDelta::seconds(1));
    session.last_activity > latest || session.opened_at > latest
}

/// Activity later than now counts as now: a clock that was set back keeps nobody logged in.
fn effective_activity(session: &Session, now: Timestamp) -> Timestamp {
    session.last_activity.min(now)
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A request that counts as activity.
    Counting,
    /// A request to an ignored URL: it never touches.
    Ignored,
    /// No request (peek, purge, rotation): it evaluates the limits and touches nothing.
    Look,
}

/// Which limit a session has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Idle for longer than its idle limit.
    Idle,
    /// Older than its absolute limit.
    Absolute,
}

impl Expiry {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Idle, Self::Absolute];
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

/// Judges a session at `now`.
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
    /// Logged in and within its limits.
    Active,
    /// Valid on an ignored URL.
    Ignored,
    /// Ended: idle for too long.
    IdleExpired,
    /// Ended: too old.
    AbsoluteExpired,
    /// Ended: closed or revoked, as long as that is known.
    Closed,
    /// Not logged in; nothing more is known.
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
        match self {
            Self::Active | Self::Ignored => true,
            Self::IdleExpired | Self::AbsoluteExpired | Self::Closed | Self::Unknown => false,
        }
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
    /// When it ends if nothing more happens; `None` if no limit is in force.
    pub expires_at: Option<Timestamp>,
    /// How long that is from now; negative if it is past.
    pub expires_in: Option<TimeDelta>,
    /// Whether it is valid and ends within the `warning` parameter's time.
    pub warn: bool,
}

impl Outlook {
    /// The outlook of a session, after the touch if there was one.
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

/// Whether a touch is worth a write of the row. Without the registry, activity is written only if the row's is older than a
/// hundredth of the idle limit, or than 60 s; or if there is [clock skew](has_clock_skew).
pub fn touch_is_due(session: &Session, params: &Params, now: Timestamp) -> bool {
    let most = TimeDelta::seconds(60);
    let granularity = Limits::of(session, params)
        .idle
        .map_or(most, |delay| (delay / 100).min(most));
    has_clock_skew(session, now) || now.since(session.last_activity) > granularity
}

#[cfg(test)]
mod tests;
