//! The numbers of a span and their units.

/// The units a number can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    /// The spellings are PostgreSQL's, which ignores case.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        const SPELLINGS: [(Unit, &[&str]); 9] = [
            (
                Unit::Microsecond,
                &[
                    "us",
                    "usec",
                    "usecs",
                    "usecond",
                    "useconds",
                    "microsecond",
                    "microseconds",
                ],
            ),
            (
                Unit::Millisecond,
                &[
                    "ms",
                    "msec",
                    "msecs",
                    "msecond",
                    "mseconds",
                    "millisecond",
                    "milliseconds",
                ],
            ),
            (Unit::Second, &["s", "sec", "secs", "second", "seconds"]),
            (Unit::Minute, &["m", "min", "mins", "minute", "minutes"]),
            (Unit::Hour, &["h", "hr", "hrs", "hour", "hours"]),
            (Unit::Day, &["d", "day", "days"]),
            (Unit::Week, &["w", "week", "weeks"]),
            (Unit::Month, &["mon", "mons", "month", "months"]),
            (Unit::Year, &["y", "yr", "yrs", "year", "years"]),
        ];
        SPELLINGS
            .iter()
            .find(|(_, spellings)| {
                spellings
                    .iter()
                    .any(|spelling| word.eq_ignore_ascii_case(spelling.as_bytes()))
            })
            .map(|&(unit, _)| unit)
    }

    /// The unit in microseconds.
    pub const fn micros(self) -> i128 {
        match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => 1_000_000,
            Self::Minute => 60 * Self::Second.micros(),
            Self::Hour => 60 * Self::Minute.micros(),
            Self::Day => 24 * Self::Hour.micros(),
            Self::Week => 7 * Self::Day.micros(),
            Self::Month => 30 * Self::Day.micros(),
            Self::Year => 12 * Self::Month.micros(),
        }
    }

    pub const fn plural(self) -> &'static str {
        match self {
            Self::Microsecond => "microseconds",
            Self::Millisecond => "milliseconds",
            Self::Second => "seconds",
            Self::Minute => "minutes",
            Self::Hour => "hours",
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
            Self::Year => "years",
        }
    }
}

/// An unsigned decimal number, exact to [`Decimal::DIGITS`] digits after the point.
pub struct Decimal {
    /// Saturates: a greater number exceeds a span in any unit.
    pub whole: u64,
    /// In units of 10^-DIGITS.
    pub fraction: i128,
    /// Whether it has more digits other than 0 than the fraction holds.
    has_more: bool,
}

impl Decimal {
    /// As many as let [`Decimal::times`] multiply by the microseconds of a year without overflow.
    pub const DIGITS: usize = 24;
    pub const ONE: i128 = 10_i128.pow(Self::DIGITS as u32);

    pub fn new(whole: &[u8], fraction: &[u8]) -> Self {
        let whole = whole.iter().fold(0_u64, |value, digit| {
            value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(Self::DIGITS);
        let has_more = fraction.iter().skip(Self::DIGITS).any(|&digit| digit != b'0');
        let fraction = digits.fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        Self {
            whole,
            fraction,
            has_more,
        }
    }

    /// The product, rounded to the nearest whole number, ties to the even one, and what was rounded off, in units of
    /// 10^-DIGITS.
    fn times(&self, factor: i128) -> (i128, i128) {
        let product = self.fraction * factor;
        let (floor, rest) = (product / Self::ONE, product % Self::ONE);
        let round_up = match (rest * 2).cmp(&Self::ONE) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => floor % 2,
            std::cmp::Ordering::Greater => 1,
        };
        let whole = i128::from(self.whole) * factor + floor + round_up;
        (whole, rest - round_up * Self::ONE + i128::from(self.has_more))
    }

    /// In microseconds, and what was rounded off, in units of 10^-DIGITS of one.
    pub fn micros(&self, unit: Unit) -> (i128, i128) {
        match unit {
            Unit::Year => {
                let (months, rest) = self.times(12);
                (months * Unit::Month.micros(), rest * Unit::Month.micros())
            }
            unit => self.times(unit.micros()),
        }
    }
}
