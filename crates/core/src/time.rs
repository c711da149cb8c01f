//! Points in time and the saturating arithmetic of limits.

use chrono::TimeDelta;

/// PostgreSQL's `MIN_TIMESTAMP`, 4714 BC.
pub(crate) const EARLIEST: i64 = -211_813_488_000_000_000;

/// PostgreSQL's `END_TIMESTAMP`, 294277 AD: the first time that is no timestamp.
const END: i64 = 9_223_371_331_200_000_000;

/// A point in time: microseconds since 2000-01-01 00:00 UTC, PostgreSQL's own scale.
///
/// `i64::MIN` and `i64::MAX` are PostgreSQL's `-infinity` and `infinity`; arithmetic saturates towards them, so that
/// no row and no parameter, however absurd, makes a check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that is this many microseconds after 2000-01-01 00:00 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 2000-01-01 00:00 UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This time moved by `delta`: to an infinity if that is out of PostgreSQL's range. An infinity stays.
    pub fn saturating_add(self, delta: TimeDelta) -> Self {
        match self.0 {
            i64::MIN | i64::MAX => self,
            micros => match micros.saturating_add(to_micros(delta)) {
                moved if moved < EARLIEST => Self(i64::MIN),
                moved if moved >= END => Self(i64::MAX),
                moved => Self(moved),
            },
        }
    }

    /// How long after `earlier` this time is; negative if it is before. Saturates at `i64` microseconds.
    pub fn since(self, earlier: Self) -> TimeDelta {
        TimeDelta::microseconds(self.0.saturating_sub(earlier.0))
    }
}

/// The "now" of a judgement. It is read again after every wait, so that a limit which has passed in the meantime counts.
pub trait Clock {
    /// The time as it was read last.
    fn now(&self) -> Timestamp;
    /// Reads the time again after a wait.
    fn now_after_wait(&self) -> Timestamp;
}

/// A clock that stands still.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }

    fn now_after_wait(&self) -> Timestamp {
        *self
    }
}

/// A span's microseconds, saturating at `i64`.
pub fn to_micros(span: TimeDelta) -> i64 {
    span.num_microseconds()
        .unwrap_or(if span < TimeDelta::zero() { i64::MIN } else { i64::MAX })
}

/// The span of a PostgreSQL `interval` in its three fields, by the rule that a month is 30 days and a day 24 hours
/// (PostgreSQL's own when it compares intervals). Saturates at `i64` microseconds.
pub fn span_of_interval(months: i32, days: i32, micros: i64) -> TimeDelta {
    const DAY: i128 = 24 * 60 * 60 * 1_000_000;
    let total = (i128::from(months) * 30 + i128::from(days)) * DAY + i128::from(micros);
    TimeDelta::microseconds(total.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_infinities_stay() {
        let far = TimeDelta::microseconds(i64::MAX);
        assert_eq!(
            Timestamp::from_micros(1).saturating_add(far),
            Timestamp::from_micros(i64::MAX)
        );
        assert_eq!(
            Timestamp::from_micros(0).saturating_add(-far),
            Timestamp::from_micros(i64::MIN)
        );
        let last = Timestamp::from_micros(END - 1);
        assert_eq!(
            Timestamp::from_micros(END - 2).saturating_add(TimeDelta::microseconds(1)),
            last
        );
        assert_eq!(
            last.saturating_add(TimeDelta::microseconds(1)),
            Timestamp::from_micros(i64::MAX)
        );
        assert_eq!(
            Timestamp::from_micros(i64::MIN).saturating_add(far),
            Timestamp::from_micros(i64::MIN)
        );
        assert_eq!(
            Timestamp::from_micros(i64::MAX).saturating_add(-far),
            Timestamp::from_micros(i64::MAX)
        );
        assert_eq!(
            Timestamp::from_micros(i64::MAX).since(Timestamp::from_micros(i64::MIN)),
            far
        );
    }

    #[test]
    fn a_month_is_thirty_days_and_a_day_twenty_four_hours() {
        assert_eq!(
            span_of_interval(1, 2, 3),
            TimeDelta::days(32) + TimeDelta::microseconds(3)
        );
        assert_eq!(
            span_of_interval(i32::MAX, i32::MAX, i64::MAX),
            TimeDelta::microseconds(i64::MAX)
        );
        assert_eq!(span_of_interval(i32::MIN, 0, 0), TimeDelta::microseconds(i64::MIN));
        assert_eq!(span_of_interval(-1, 30, 0), TimeDelta::zero());
    }
}
