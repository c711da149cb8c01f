//! Spans of time as an administrator writes them: a number of seconds, or an interval.
//!
//! The words, and how they are put together, are those of PostgreSQL's `interval` under its default `IntervalStyle`:
//! what both accept, both read alike, down to the sign that applies to its own field only. What PostgreSQL reads by
//! guessing (a comma between digits, `1-2` for years and months, units cut short, a word without a number) is refused
//! here. A month counts as 30 days, a year as 12 months, a day as 24 hours.
//!
//! They differ in four places: PostgreSQL forgets the fraction of a day, week or month that stands behind a clock
//! (`01:00 0.5 days`), its arithmetic is binary where this one is decimal, it refuses what overflows, and it reads a
//! positive span that is too short for its units (`0.0000001`, `0.04 years`) as 0. As 0 switches limits off, such a span
//! is never 0 here: see [`parse`] and [`is_lost_in_rounding`].

use chrono::TimeDelta;

use crate::url::excerpt;

/// Parses a number of seconds (`7200`, `-1`, `0.5`) or an interval (`15 minutes`, `1h30m`, `1 mon 2 days 03:04:05.678`,
/// `01:30` (hours and minutes), `@ 5 min ago`, `P1DT2H3M`), with white space around it allowed.
///
/// The result is in whole microseconds, rounded to the nearest. What exceeds an `i64` of them, in either direction, is
/// the largest or smallest such span. As in PostgreSQL (from version 15), a fraction of a year is rounded to whole
/// months, other fractions are exact. A positive span that this would round to 0 or less is the shortest there is, one
/// microsecond.
///
/// # Errors
///
/// [`SpanError`] for anything else: an empty text, unknown units (centuries and the like, `infinity`), exponents, or a
/// unit given twice.
pub fn parse(text: &[u8]) -> Result<TimeDelta, SpanError> {
    let total = parse_total(text)?;
    let micros = if total.is_lost() { 1 } else { total.micros };
    let micros = i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX });
    Ok(TimeDelta::microseconds(micros))
}

/// Whether a text is a positive span that rounding makes 0 or less, as `0.0000001` and `0.04 years` are.
#[must_use]
pub fn is_lost_in_rounding(text: &[u8]) -> bool {
    parse_total(text).is_ok_and(|total| total.is_lost())
}

fn parse_total(text: &[u8]) -> Result<Total, SpanError> {
    let text = text.trim_ascii();
    match text.strip_prefix(b"P") {
        Some(fields) => parse_iso(fields),
        None => parse_fields(text),
    }
}

/// Why a text is not a span of time. Its display gives the reason in a message such as `invalid value "x": …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// There is nothing but white space.
    #[error("it is empty")]
    Empty,
    /// A word that is no unit; held escaped to ASCII and shortened to at most 60 characters.
    #[error("\"{0}\" is not a unit of time")]
    UnknownUnit(String),
    /// The same unit, or what a field such as `01:30` already says, stands there twice.
    #[error("{0} are given twice")]
    Repeated(&'static str),
    /// Anything else that is not in the grammar.
    #[error("it is neither a number of seconds nor an interval")]
    Malformed,
}

/// The units a number can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
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
    /// The spellings of PostgreSQL, which compares them without regard to case.
    fn from_word(word: &[u8]) -> Result<Self, SpanError> {
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
            .ok_or_else(|| SpanError::UnknownUnit(excerpt(word)))
    }

    /// The unit in microseconds.
    const fn micros(self) -> i128 {
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

    const fn plural(self) -> &'static str {
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
struct Decimal {
    /// Saturates: from there on any unit exceeds the span anyway.
    whole: u64,
    /// In units of 10^-DIGITS.
    fraction: i128,
    /// Whether it has more digits, other than 0, than the fraction holds.
    has_more: bool,
}

impl Decimal {
    /// As many as let [`Decimal::times`] multiply by the microseconds of a year without overflow.
    const DIGITS: usize = 24;
    const ONE: i128 = 10_i128.pow(Self::DIGITS as u32);

    fn new(whole: &[u8], fraction: &[u8]) -> Self {
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
    fn micros(&self, unit: Unit) -> (i128, i128) {
        match unit {
            Unit::Year => {
                let (months, rest) = self.times(12);
                (months * Unit::Month.micros(), rest * Unit::Month.micros())
            }
            unit => self.times(unit.micros()),
        }
    }
}

/// What has been read so far: its sum, and which units have been given.
#[derive(Default)]
struct Total {
    micros: i128,
    /// What was rounded off, in units of 10^-[`Decimal::DIGITS`] microseconds.
    rounded_off: i128,
    given: u16,
}

impl Total {
    fn add(&mut self, negative: bool, number: &Decimal, unit: Unit) -> Result<(), SpanError> {
        let units: &[Unit] = match unit {
            // As in PostgreSQL: a fraction of a second says what milliseconds and microseconds would say.
            Unit::Second if number.fraction != 0 => &[Unit::Second, Unit::Millisecond, Unit::Microsecond],
            _ => &[unit],
        };
        self.add_micros(negative, number.micros(unit), units)
    }

    /// Whether it is positive but for rounding.
    fn is_lost(&self) -> bool {
        // What is rounded off is half a month in a year, and half a microsecond in other units.
        const MOST: i128 = Unit::Month.micros();
        (-MOST..=0).contains(&self.micros) && self.micros * Decimal::ONE + self.rounded_off > 0
    }

    fn negated(mut self) -> Self {
        self.micros = -self.micros;
        self.rounded_off = -self.rounded_off;
        self
    }

    /// A field such as `01:30:00` says hours and everything below them.
    fn add_clock(&mut self, negative: bool, micros: (i128, i128)) -> Result<(), SpanError> {
        self.add_micros(
            negative,
            micros,
            &[
                Unit::Hour,
                Unit::Minute,
                Unit::Second,
                Unit::Millisecond,
                Unit::Microsecond,
            ],
        )
    }

    fn add_micros(&mut self, negative: bool, (micros, rest): (i128, i128), units: &[Unit]) -> Result<(), SpanError> {
        for &unit in units {
            let bit = 1 << unit as u16;
            if self.given & bit != 0 {
                return Err(SpanError::Repeated(unit.plural()));
            }
            self.given |= bit;
        }
        let sign = if negative { -1 } else { 1 };
        self.micros += sign * micros;
        self.rounded_off += sign * rest;
        Ok(())
    }
}

/// A field of an interval, or the word after it.
enum Token<'a> {
    Number { negative: bool, number: Decimal },
    Clock { negative: bool, micros: (i128, i128) },
    Word(&'a [u8]),
}

/// Reads everything but ISO 8601, from the right, since a number's unit stands behind it.
fn parse_fields(text: &[u8]) -> Result<Total, SpanError> {
    let mut tokens = tokens(text)?;
    let is_ago = matches!(tokens.last(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"ago"));
    if is_ago {
        tokens.pop();
    }
    let mut total = Total::default();
    // The unit of the next number to the left. A number alone, or at the end, counts seconds; `5 ago` is nothing.
    let mut unit = (!is_ago).then_some(Unit::Second);
    let mut unit_needs_number = false;
    for token in tokens.into_iter().rev() {
        match token {
            Token::Word(word) if !unit_needs_number => {
                unit = Some(Unit::from_word(word)?);
                unit_needs_number = true;
            }
            Token::Clock { negative, micros } if !unit_needs_number => {
                total.add_clock(negative, micros)?;
                unit = Some(Unit::Day);
            }
            Token::Number { negative, number } => {
                let this = unit.ok_or(SpanError::Malformed)?;
                total.add(negative, &number, this)?;
                unit_needs_number = false;
                // `1 02:03` and `1 2 hours` both begin with a day.
                unit = Some(if this == Unit::Hour { Unit::Day } else { this });
            }
            Token::Word(_) | Token::Clock { .. } => return Err(SpanError::Malformed),
        }
    }
    if unit_needs_number || total.given == 0 {
        return Err(if text.is_empty() {
            SpanError::Empty
        } else {
            SpanError::Malformed
        });
    }
    Ok(if is_ago { total.negated() } else { total })
}

/// Reads the ISO 8601 form with designators, after its `P`.
fn parse_iso(mut rest: &[u8]) -> Result<Total, SpanError> {
    let mut total = Total::default();
    let mut in_time = false;
    while !rest.is_empty() {
        if !in_time && take(&mut rest, b"T").is_some() {
            in_time = true;
        }
        let negative = take_sign(&mut rest);
        let whole = take_digits(&mut rest);
        let number = decimal(whole, &mut rest)?;
        let unit = match take(&mut rest, b"YMWDHS").ok_or(SpanError::Malformed)? {
            b'Y' if !in_time => Unit::Year,
            b'M' if !in_time => Unit::Month,
            b'W' if !in_time => Unit::Week,
            b'D' if !in_time => Unit::Day,
            b'H' if in_time => Unit::Hour,
            b'M' if in_time => Unit::Minute,
            b'S' if in_time => Unit::Second,
            _ => return Err(SpanError::Malformed),
        };
        total.add(negative == Some(true), &number, unit)?;
    }
    if total.given == 0 {
        Err(SpanError::Malformed)
    } else {
        Ok(total)
    }
}

/// Splits an interval into its fields and words.
fn tokens(text: &[u8]) -> Result<Vec<Token<'_>>, SpanError> {
    /// As many as PostgreSQL takes; an interval of all units has less.
    const MAX_TOKENS: usize = 25;

    let mut tokens = Vec::new();
    let mut rest = text.strip_prefix(b"@").unwrap_or(text).trim_ascii_start();
    while let Some(first) = rest.first() {
        if tokens.len() == MAX_TOKENS {
            return Err(SpanError::Malformed);
        }
        if first.is_ascii_alphabetic() {
            let end = rest
                .iter()
                .position(|byte| !byte.is_ascii_alphabetic())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word));
            // `1h30m` and `1 day, 2:00:00`, but not `1h-30m`.
            rest = after.strip_prefix(b",").unwrap_or(after);
            if !rest
                .first()
                .is_none_or(|next| next.is_ascii_whitespace() || next.is_ascii_digit())
            {
                return Err(SpanError::Malformed);
            }
        } else {
            tokens.push(take_field(&mut rest)?);
            // Not `1-2`, `1,5` or `1.2.3`, which PostgreSQL reads as something else.
            if !rest
                .first()
                .is_none_or(|next| next.is_ascii_whitespace() || next.is_ascii_alphabetic())
            {
                return Err(SpanError::Malformed);
            }
        }
        rest = rest.trim_ascii_start();
    }
    Ok(tokens)
}

/// Takes a signed number, or a signed `hours:minutes`, `hours:minutes:seconds` or `minutes:seconds.fraction`.
fn take_field<'a>(rest: &mut &'a [u8]) -> Result<Token<'a>, SpanError> {
    let negative = take_sign(rest) == Some(true);
    let first = take_digits(rest);
    if first.is_empty() || take(rest, b":").is_none() {
        return Ok(Token::Number {
            negative,
            number: decimal(first, rest)?,
        });
    }
    let second = take_digits(rest);
    let third = if take(rest, b":").is_some() {
        Some(take_digits(rest))
    } else {
        None
    };
    let (hours, minutes, seconds) = match third {
        Some(third) => (first, second, third),
        None if rest.starts_with(b".") => (b"0".as_slice(), first, second),
        None => (first, second, b"0".as_slice()),
    };
    let (hours, minutes) = (Decimal::new(hours, b""), Decimal::new(minutes, b""));
    let seconds = decimal(seconds, rest)?;
    if second.is_empty() || third.is_some_and(<[u8]>::is_empty) || minutes.whole > 59 || seconds.whole > 60 {
        return Err(SpanError::Malformed);
    }
    let (seconds, rest) = seconds.micros(Unit::Second);
    let micros = hours.micros(Unit::Hour).0 + minutes.micros(Unit::Minute).0 + seconds;
    Ok(Token::Clock {
        negative,
        micros: (micros, rest),
    })
}

/// Takes a decimal point and the digits behind it, where they are, and makes a number of them and those before it.
fn decimal(whole: &[u8], rest: &mut &[u8]) -> Result<Decimal, SpanError> {
    let fraction = if take(rest, b".").is_some() {
        take_digits(rest)
    } else {
        b""
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(SpanError::Malformed);
    }
    Ok(Decimal::new(whole, fraction))
}

/// Takes the next byte if it is one of these.
fn take(rest: &mut &[u8], one_of: &[u8]) -> Option<u8> {
    let (&first, after) = rest.split_first().filter(|(first, _)| one_of.contains(first))?;
    *rest = after;
    Some(first)
}

/// Takes a sign; `Some(true)` is minus.
fn take_sign(rest: &mut &[u8]) -> Option<bool> {
    take(rest, b"+-").map(|sign| sign == b'-')
}

fn take_digits<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits
}
