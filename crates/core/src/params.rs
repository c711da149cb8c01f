//! The parameters: their names, defaults, and what their values may be.
//!
//! A value is checked when it is written ([`validate`]) and read with the same code ([`Params::set`]), so no row can hold
//! what a check cannot use. Writing is stricter in one point: a positive time that would be rounded to 0, which switches
//! things off, is refused. In a row that an earlier version has let in it is the shortest time there is.

use std::sync::LazyLock;

use chrono::TimeDelta;

use crate::span;
use crate::url::{self, IgnoredUrls, excerpt};

/// What the name of every parameter begins with. A key that begins with it and is not a [`Key`] is refused.
pub const PREFIX: &str = "inactive_session_time_out_";

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// How long a session may be idle.
    Delay,
    /// The list of paths that never count as activity.
    IgnoredUrl,
    /// What a check on an ignored path does.
    IgnoredUrlMode,
    /// How long a session may live, active or not.
    AbsoluteDelay,
    /// How long before its expiry a session is warned.
    Warning,
    /// How often activity is written to rows.
    FlushInterval,
    /// How often expired rows are looked for.
    PurgeInterval,
    /// How long events are kept.
    EventRetention,
}

impl Key {
    /// Every parameter, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Delay,
        Self::IgnoredUrl,
        Self::IgnoredUrlMode,
        Self::AbsoluteDelay,
        Self::Warning,
        Self::FlushInterval,
        Self::PurgeInterval,
        Self::EventRetention,
    ];

    /// The key of its row; begins with [`PREFIX`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay => "inactive_session_time_out_delay",
            Self::IgnoredUrl => "inactive_session_time_out_ignored_url",
            Self::IgnoredUrlMode => "inactive_session_time_out_ignored_url_mode",
            Self::AbsoluteDelay => "inactive_session_time_out_absolute_delay",
            Self::Warning => "inactive_session_time_out_warning",
            Self::FlushInterval => "inactive_session_time_out_flush_interval",
            Self::PurgeInterval => "inactive_session_time_out_purge_interval",
            Self::EventRetention => "inactive_session_time_out_event_retention",
        }
    }

    /// The value of its seeded row, which is also in force where there is no row. Numbers are seconds.
    #[must_use]
    pub const fn default_value(self) -> &'static str {
        match self {
            Self::Delay => "7200",
            Self::IgnoredUrl => "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
            Self::IgnoredUrlMode => "skip_check",
            Self::AbsoluteDelay => "0",
            Self::Warning => "300",
            Self::FlushInterval => "60",
            Self::PurgeInterval => "60",
            Self::EventRetention => "30 days",
        }
    }

    /// The parameter of that name: `None` for a key that does not begin with [`PREFIX`], which is somebody else's and
    /// stored as it is. Names are case-sensitive.
    ///
    /// # Errors
    ///
    /// A key that begins with [`PREFIX`] and is no parameter; the hint lists those there are.
    pub fn from_name(name: &[u8]) -> Result<Option<Self>, ParamError> {
        if !name.starts_with(PREFIX.as_bytes()) {
            return Ok(None);
        }
        match Self::ALL.into_iter().find(|key| key.name().as_bytes() == name) {
            Some(key) => Ok(Some(key)),
            None => Err(ParamError {
                message: format!("there is no parameter \"{}\"", excerpt(name)),
                hint: Self::list(),
            }),
        }
    }

    /// A key that is stored as somebody else's, and was probably meant as one of these: it differs from [`PREFIX`] in
    /// case and punctuation only, as `inactive_session_timeout_delay` does.
    #[must_use]
    pub fn misspelled(name: &[u8]) -> Option<Misspelled> {
        let letters = |name: &[u8]| -> Vec<u8> {
            let letters = name.iter().filter(|byte| byte.is_ascii_alphabetic());
            letters.map(u8::to_ascii_lowercase).collect()
        };
        let given = letters(name);
        if name.starts_with(PREFIX.as_bytes()) || !given.starts_with(&letters(PREFIX.as_bytes())) {
            return None;
        }
        let meant = Self::ALL
            .into_iter()
            .find(|key| letters(key.name().as_bytes()) == given);
        Some(Misspelled {
            message: format!("\"{}\" is not a parameter and has no effect", excerpt(name)),
            hint: meant.map_or_else(Self::list, |key| format!("Perhaps you meant \"{}\".", key.name())),
        })
    }

    const fn is_time(self) -> bool {
        !matches!(self, Self::IgnoredUrl | Self::IgnoredUrlMode)
    }

    fn list() -> String {
        format!("Valid parameters are: {}.", Self::ALL.map(Self::name).join(", "))
    }

    /// What its value may be, with an example.
    const fn hint(self) -> &'static str {
        match self {
            Self::Delay | Self::AbsoluteDelay => {
                "Specify a number of seconds or an interval, for example 7200 or 15 minutes; 0 or less disables the limit."
            }
            Self::IgnoredUrl => url::LIST_HINT,
            Self::IgnoredUrlMode => {
                "Specify skip_check (the idle delay is not checked on ignored URLs) or no_refresh (it is checked, but \
                 activity is not updated)."
            }
            Self::Warning => "Specify a number of seconds or an interval, 0 or more, for example 300 or 5 minutes.",
            Self::FlushInterval | Self::PurgeInterval => {
                "Specify a number of seconds or an interval, greater than 0, for example 60 or 1 minute."
            }
            Self::EventRetention => {
                "Specify a number of seconds or an interval, 0 or more, for example 30 days; 0 keeps no events."
            }
        }
    }
}

/// What a check on an ignored url does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoredUrlMode {
    /// `skip_check`: the idle delay is not evaluated.
    SkipCheck,
    /// `no_refresh`: the idle delay is evaluated, activity stays as it is.
    NoRefresh,
}

impl IgnoredUrlMode {
    /// The value that stands for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipCheck => "skip_check",
            Self::NoRefresh => "no_refresh",
        }
    }
}

/// The parameters in force, parsed. The default is what [`Key::default_value`] says of each.
#[derive(Clone, Debug)]
pub struct Params {
    /// How long a session may be idle; positive. `None`: no idle limit.
    pub delay: Option<TimeDelta>,
    /// The paths that never count as activity.
    pub ignored_urls: IgnoredUrls,
    /// What a check on such a path does.
    pub ignored_url_mode: IgnoredUrlMode,
    /// How long a session may live, active or not; positive. `None`: no such limit.
    pub absolute_delay: Option<TimeDelta>,
    /// How long before its expiry a session is warned; not negative.
    pub warning: TimeDelta,
    /// How often activity is to be written to rows; positive. See [`Params::flush_interval_in_force`].
    pub flush_interval: TimeDelta,
    /// How often expired rows are looked for; positive.
    pub purge_interval: TimeDelta,
    /// How long events are kept; positive. `None`: none are kept.
    pub event_retention: Option<TimeDelta>,
}

impl Default for Params {
    fn default() -> Self {
        static DEFAULTS: LazyLock<Params> = LazyLock::new(|| {
            let mut params = Params {
                delay: None,
                ignored_urls: IgnoredUrls::default(),
                ignored_url_mode: IgnoredUrlMode::SkipCheck,
                absolute_delay: None,
                warning: TimeDelta::zero(),
                flush_interval: TimeDelta::zero(),
                purge_interval: TimeDelta::zero(),
                event_retention: None,
            };
            for key in Key::ALL {
                // The values are constants of this file, and a test parses each.
                params
                    .set(key, key.default_value().as_bytes())
                    .expect("a default value parses");
            }
            params
        });
        DEFAULTS.clone()
    }
}

impl Params {
    /// Reads a value. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// A value that `key` does not take; nothing is changed then.
    pub fn set(&mut self, key: Key, value: &[u8]) -> Result<(), ParamError> {
        match key {
            Key::Delay => self.delay = positive(time(key, value)?),
            Key::AbsoluteDelay => self.absolute_delay = positive(time(key, value)?),
            Key::IgnoredUrl => {
                self.ignored_urls = IgnoredUrls::parse(value).map_err(|error| ParamError {
                    message: format!("invalid value for parameter \"{}\": {error}", key.name()),
                    hint: key.hint().to_owned(),
                })?;
            }
            Key::IgnoredUrlMode => {
                let mode = [IgnoredUrlMode::SkipCheck, IgnoredUrlMode::NoRefresh]
                    .into_iter()
                    .find(|mode| mode.name().as_bytes() == value.trim_ascii());
                self.ignored_url_mode =
                    mode.ok_or_else(|| refused(key, value, "it must be skip_check or no_refresh"))?;
            }
            Key::Warning => self.warning = not_negative(key, value)?,
            Key::FlushInterval => self.flush_interval = more_than_zero(key, value)?,
            Key::PurgeInterval => self.purge_interval = more_than_zero(key, value)?,
            Key::EventRetention => self.event_retention = positive(not_negative(key, value)?),
        }
        Ok(())
    }

    /// How often activity is written to rows: no more than a tenth of the shortest delay that is on, so that what a
    /// crash loses is small beside it. A microsecond at least.
    #[must_use]
    pub fn flush_interval_in_force(&self) -> TimeDelta {
        let shortest = self.delay.into_iter().chain(self.absolute_delay).min();
        let tenth = |delay: TimeDelta| (delay / 10).max(TimeDelta::microseconds(1));
        shortest.map_or(self.flush_interval, |shortest| self.flush_interval.min(tenth(shortest)))
    }
}

/// Checks a row before it is stored. A key that does not begin with [`PREFIX`] may have any value.
///
/// # Errors
///
/// As [`Key::from_name`] and [`Params::set`]; and a positive time that is too short to be told from 0.
pub fn validate(key: &[u8], value: &[u8]) -> Result<(), ParamError> {
    let Some(key) = Key::from_name(key)? else {
        return Ok(());
    };
    Params::default().set(key, value)?;
    if key.is_time() && span::is_lost_in_rounding(value) {
        return Err(refused(key, value, "it is greater than 0 but would be rounded to 0"));
    }
    Ok(())
}

/// What there is to say of a key that is stored (a warning, SQLSTATE 01000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelled {
    /// Which key it is, in ASCII, shortened.
    pub message: String,
    /// What was meant.
    pub hint: String,
}

/// A parameter or a value that is refused (SQLSTATE 22023). Its display is the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParamError {
    message: String,
    hint: String,
}

impl ParamError {
    /// Which key or value was wrong, and how; ASCII, with long values shortened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is allowed, with an example.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

fn refused(key: Key, value: &[u8], why: &str) -> ParamError {
    ParamError {
        message: format!(
            "invalid value \"{}\" for parameter \"{}\": {why}",
            excerpt(value),
            key.name()
        ),
        hint: key.hint().to_owned(),
    }
}

fn time(key: Key, value: &[u8]) -> Result<TimeDelta, ParamError> {
    span::parse(value).map_err(|error| refused(key, value, &error.to_string()))
}

fn positive(time: TimeDelta) -> Option<TimeDelta> {
    (time > TimeDelta::zero()).then_some(time)
}

fn not_negative(key: Key, value: &[u8]) -> Result<TimeDelta, ParamError> {
    let time = time(key, value)?;
    if time < TimeDelta::zero() {
        Err(refused(key, value, "it must not be negative"))
    } else {
        Ok(time)
    }
}

fn more_than_zero(key: Key, value: &[u8]) -> Result<TimeDelta, ParamError> {
    positive(time(key, value)?).ok_or_else(|| refused(key, value, "it must be greater than 0"))
}
