//! The parameters: their names, defaults, and what their values may be.
//!
//! A value is checked when it is written ([`validate`]) by the code that reads it ([`Params::set`]), so no row can hold what
//! a check cannot use. Writing is stricter in one point: it refuses a positive time that would be rounded to 0, which switches
//! things off. If an earlier version has let such a time into a row, it is read as the shortest time there is.

use std::sync::LazyLock;

use chrono::TimeDelta;

use crate::excerpt::excerpt;
use crate::span;
use crate::url::IgnoredUrls;

/// What the name of every parameter begins with. A key that begins with it and is not a [`Key`] is refused.
pub const PREFIX: &str = "inactive_session_time_out_";

/// A parameter, as its row and its messages need it.
struct Spec {
    /// The key of its row.
    name: &'static str,
    /// The value of its seeded row, in force if there is no row. Numbers are seconds.
    default: &'static str,
    kind: Kind,
    /// What its value may be, with an example.
    hint: &'static str,
}

/// How a value is read.
#[derive(Clone, Copy)]
enum Kind {
    /// The patterns of [`IgnoredUrls`].
    UrlList,
    /// The name of an [`IgnoredUrlMode`].
    Mode,
    /// `on` or `off`.
    Switch,
    /// Seconds or an interval.
    Time(Least),
}

/// The least time that a parameter takes.
#[derive(Clone, Copy)]
enum Least {
    /// Any: 0 or less switches the limit off.
    Any,
    Zero,
    MoreThanZero,
}

/// Makes [`Key`], and its [`Spec`]s, of one table.
macro_rules! parameters {
    ($($(#[$doc:meta])* $key:ident: $spec:tt)*) => {
        /// A parameter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Key {
            $($(#[$doc])* $key,)*
        }

        impl Key {
            /// Every parameter, in the order of the documentation.
            pub const ALL: [Self; [$(Self::$key),*].len()] = [$(Self::$key),*];

            const fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$key => &Spec $spec,)*
                }
            }
        }
    };
}

parameters! {
    /// How long a session may be idle.
    Delay: {
        name: "inactive_session_time_out_delay",
        default: "7200",
        kind: Kind::Time(Least::Any),
        hint: LIMIT_HINT,
    }

    /// The list of paths that never count as activity.
    IgnoredUrl: {
        name: "inactive_session_time_out_ignored_url",
        default: "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
        kind: Kind::UrlList,
        hint: "Specify paths separated by commas or newlines, without scheme, host or query; * matches any characters, \
            for example /longpolling/*,/websocket.",
    }

    /// What a check on an ignored path does.
    IgnoredUrlMode: {
        name: "inactive_session_time_out_ignored_url_mode",
        default: "skip_check",
        kind: Kind::Mode,
        hint: "Specify skip_check (the idle delay is not checked on ignored URLs) or no_refresh (it is checked, but \
            activity is not updated).",
    }

    /// How long a session may live, active or not.
    AbsoluteDelay: {
        name: "inactive_session_time_out_absolute_delay",
        default: "0",
        kind: Kind::Time(Least::Any),
        hint: LIMIT_HINT,
    }

    /// How long before its expiry a session is warned.
    Warning: {
        name: "inactive_session_time_out_warning",
        default: "300",
        kind: Kind::Time(Least::Zero),
        hint: "Specify a number of seconds or an interval, 0 or more, for example 300 or 5 minutes.",
    }

    /// How often activity is written to rows.
    FlushInterval: {
        name: "inactive_session_time_out_flush_interval",
        default: "60",
        kind: Kind::Time(Least::MoreThanZero),
        hint: INTERVAL_HINT,
    }

    /// Whether notices are sent of sessions that end.
    Notices: {
        name: "inactive_session_time_out_notices",
        default: "on",
        kind: Kind::Switch,
        hint: "Specify on or off.",
    }

    /// How often expired rows are looked for.
    PurgeInterval: {
        name: "inactive_session_time_out_purge_interval",
        default: "60",
        kind: Kind::Time(Least::MoreThanZero),
        hint: INTERVAL_HINT,
    }

    /// How long events are kept.
    EventRetention: {
        name: "inactive_session_time_out_event_retention",
        default: "30 days",
        kind: Kind::Time(Least::Zero),
        hint: "Specify a number of seconds or an interval, 0 or more, for example 30 days; 0 keeps no events.",
    }
}

const LIMIT_HINT: &str =
    "Specify a number of seconds or an interval, for example 7200 or 15 minutes; 0 or less disables the limit.";

const INTERVAL_HINT: &str = "Specify a number of seconds or an interval, greater than 0, for example 60 or 1 minute.";

impl Key {
    /// The key of its row; begins with [`PREFIX`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The value of its seeded row, which is also in force if there is no row. Numbers are seconds.
    #[must_use]
    pub const fn default_value(self) -> &'static str {
        self.spec().default
    }

    /// The parameter of that name. `None` for a key that does not begin with [`PREFIX`]: somebody else's, stored as it is.
    /// Names are case-sensitive.
    ///
    /// # Errors
    ///
    /// A key that begins with [`PREFIX`] and is no parameter; the hint lists the parameters.
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

    /// Whether a key that is stored as somebody else's was probably meant to be a parameter: it differs from [`PREFIX`] only in
    /// case and punctuation, like `inactive_session_timeout_delay`.
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

    /// Whether its value is a time.
    #[must_use]
    pub const fn is_time(self) -> bool {
        match self.spec().kind {
            Kind::Time(_) => true,
            Kind::UrlList | Kind::Mode | Kind::Switch => false,
        }
    }

    fn list() -> String {
        format!("Valid parameters are: {}.", Self::ALL.map(Self::name).join(", "))
    }

    const fn hint(self) -> &'static str {
        self.spec().hint
    }
}

/// What a check on an ignored URL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IgnoredUrlMode {
    /// `skip_check`: the idle delay is not evaluated.
    SkipCheck,
    /// `no_refresh`: the idle delay is evaluated, activity stays as it is.
    NoRefresh,
}

impl IgnoredUrlMode {
    fn from_name(name: &[u8]) -> Option<Self> {
        [Self::SkipCheck, Self::NoRefresh]
            .into_iter()
            .find(|mode| mode.name().as_bytes() == name)
    }

    /// The value that stands for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SkipCheck => "skip_check",
            Self::NoRefresh => "no_refresh",
        }
    }
}

/// The parameters in force, parsed. The default is [`Key::default_value`] of each.
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
    /// Whether notices are sent of sessions that end.
    pub notices: bool,
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
                notices: false,
                purge_interval: TimeDelta::zero(),
                event_retention: None,
            };
            for key in Key::ALL {
                // The values are constants of this file, and a test parses each of them.
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
            Key::Delay => self.delay = if_on(time(key, value)?),
            Key::AbsoluteDelay => self.absolute_delay = if_on(time(key, value)?),
            Key::IgnoredUrl => {
                self.ignored_urls = IgnoredUrls::parse(value).map_err(|error| ParamError {
                    message: format!("invalid value for parameter \"{}\": {error}", key.name()),
                    hint: key.hint().to_owned(),
                })?;
            }
            Key::IgnoredUrlMode => {
                self.ignored_url_mode = IgnoredUrlMode::from_name(value.trim_ascii())
                    .ok_or_else(|| refused(key, value, "it must be skip_check or no_refresh"))?;
            }
            Key::Warning => self.warning = time(key, value)?,
            Key::FlushInterval => self.flush_interval = time(key, value)?,
            Key::Notices => {
                self.notices = match value.trim_ascii() {
                    b"on" => true,
                    b"off" => false,
                    _ => return Err(refused(key, value, "it must be on or off")),
                };
            }
            Key::PurgeInterval => self.purge_interval = time(key, value)?,
            Key::EventRetention => self.event_retention = if_on(time(key, value)?),
        }
        Ok(())
    }

    /// How often activity is written to rows: at most a tenth of the shortest delay that is on, so that a crash loses little
    /// compared with it. At least a microsecond.
    #[must_use]
    pub fn flush_interval_in_force(&self) -> TimeDelta {
        let shortest = self.delay.into_iter().chain(self.absolute_delay).min();
        shortest.map_or(self.flush_interval, |shortest| {
            self.flush_interval.min(flush_interval_of(shortest))
        })
    }
}

/// How often the activity of a session with this idle delay must be written, if that is more often than
/// [`Params::flush_interval_in_force`]: a tenth of it.
#[must_use]
pub fn flush_interval_of(idle_delay: TimeDelta) -> TimeDelta {
    (idle_delay / 10).max(TimeDelta::microseconds(1))
}

/// Checks a row before it is stored. A key that does not begin with [`PREFIX`] may have any value.
///
/// # Errors
///
/// As [`Key::from_name`] and [`Params::set`]; and a positive time that would be rounded to 0.
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

/// A warning about a key that is stored (SQLSTATE 01000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelled {
    /// Names the key, in ASCII, shortened.
    pub message: String,
    /// Names the parameter that was probably meant.
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

/// A time that is not less than the parameter takes.
fn time(key: Key, value: &[u8]) -> Result<TimeDelta, ParamError> {
    let time = span::parse(value).map_err(|error| refused(key, value, &error.to_string()))?;
    let why = match key.spec().kind {
        Kind::Time(Least::Zero) if time < TimeDelta::zero() => "it must not be negative",
        Kind::Time(Least::MoreThanZero) if time <= TimeDelta::zero() => "it must be greater than 0",
        Kind::Time(Least::Any | Least::Zero | Least::MoreThanZero) | Kind::UrlList | Kind::Mode | Kind::Switch => {
            return Ok(time);
        }
    };
    Err(refused(key, value, why))
}

/// A time of 0 or less switches things off.
fn if_on(time: TimeDelta) -> Option<TimeDelta> {
    (time > TimeDelta::zero()).then_some(time)
}
