//! Spans of time as an administrator writes them: a number of seconds, or an interval.
//!
//! The grammar is that of PostgreSQL's `interval` under its default `IntervalStyle`: both read alike what both accept, down to
//! the sign, which applies to its own field only. What PostgreSQL reads by guessing is refused here: a comma between digits, `1-2`
//! for years and months, abbreviated units, a word without a number. A month counts as 30 days, a year as 12 months, a day as
//! 24 hours.
//!
//! They differ in four points. PostgreSQL ignores the fraction of a day, week or month that stands behind a clock
//! (`01:00 0.5 days`). Its arithmetic is binary, and this one's is decimal. It refuses what overflows. It reads a positive span
//! that is too short for its units (`0.0000001`, `0.04 years`) as 0; as 0 switches limits off, such a span is never 0 here: see
//! [`parse`] and [`is_lost_in_rounding`].

mod number;

use chrono::TimeDelta;

use crate::excerpt::excerpt;
use number::{Decimal, Unit};

/// Parses a number of seconds (`7200`, `-1`, `0.5`) or an interval (`15 minutes`, `1h30m`, `1 mon 2 days 03:04:05.678`,
/// `01:30` (hours and minutes), `@ 5 min ago`, `P1DT2H3M`), with white space around it allowed.
///
/// The result is in whole microseconds, rounded to the nearest. A span that exceeds an `i64` of them, in either direction, becomes
/// the largest or smallest one. As in PostgreSQL (from version 15), a fraction of a year is rounded to whole months; other
/// fractions are exact. A positive span that would be rounded to 0 or less becomes the shortest one, a microsecond.
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

/// Whether a text is a positive span that rounding makes 0 or less, like `0.0000001` and `0.04 years`.
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
    /// Only white space.
    #[error("it is empty")]
    Empty,
    /// A word that is not a unit; escaped to ASCII, and shortened to 60 characters at most.
    #[error("\"{0}\" is not a unit of time")]
    UnknownUnit(String),
    /// A unit is given twice, perhaps by a field such as `01:30`.
    #[error("{0} are given twice")]
    Repeated(&'static str),
    /// Anything else that is not in the grammar.
    #[error("it is neither a number of seconds nor an interval")]
    Malformed,
}

/// The sum of what has been read so far, and which units have been given.
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
            // As in PostgreSQL: a fraction of a second counts as milliseconds and microseconds.
            Unit::Second if number.fraction != 0 => &[Unit::Second, Unit::Millisecond, Unit::Microsecond],
            _ => &[unit],
        };
        self.add_micros(negative, number.micros(unit), units)
    }

    /// Whether it would be positive without rounding.
    fn is_lost(&self) -> bool {
        // At most half a month is rounded off in a year, and half a microsecond in other units.
        const MOST: i128 = Unit::Month.micros();
        (-MOST..=0).contains(&self.micros) && self.micros * Decimal::ONE + self.rounded_off > 0
    }

    fn negated(mut self) -> Self {
        self.micros = -self.micros;
        self.rounded_off = -self.rounded_off;
        self
    }

    /// A field such as `01:30:00` gives hours and all smaller units.
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
    // The unit of the next number to the left. A number alone, or at the end, counts seconds; `5 ago` is refused.
    let mut unit = (!is_ago).then_some(Unit::Second);
    let mut unit_needs_number = false;
    for token in tokens.into_iter().rev() {
        match token {
            Token::Word(word) if !unit_needs_number => {
                let known = Unit::from_word(word).ok_or_else(|| SpanError::UnknownUnit(excerpt(word)))?;
                unit = Some(known);
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
    /// As many as PostgreSQL takes. An interval of all units has fewer.
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

/// Takes the decimal point and the digits behind it, if there are any. Returns the number with the digits before it.
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
