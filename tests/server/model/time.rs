//! Points in time, in microseconds since the Unix epoch, as server and client read them from the same clock.

use session_timeout_tests::chrono::Utc;

/// Microseconds since the Unix epoch, or a length of time in microseconds.
pub type Micros = i64;

/// One second.
pub const SECOND: Micros = 1_000_000;

/// The machine's wall clock.
pub fn now() -> Micros {
    Utc::now().timestamp_micros()
}

/// From before something was sent to the server until after its answer was there. What the server did lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from: Micros,
    pub to: Micros,
}

impl Span {
    pub fn new(from: Micros, to: Micros) -> Self {
        Self { from, to }
    }

    pub fn at(time: Micros) -> Self {
        Self { from: time, to: time }
    }

    pub fn contains(self, time: Micros) -> bool {
        self.from <= time && time <= self.to
    }
}

/// A limit; `None`: there is none.
pub type Limit = Option<Micros>;

/// The limit in force: a session's own can only shorten the parameter's, and counts where that is off.
pub fn in_force(parameter: Limit, own: Limit) -> Limit {
    match (parameter, own) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
