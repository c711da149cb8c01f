//! Notices that the system's clock was set back.

use std::time::Duration;

/// What a wall clock and a clock that nobody sets said last.
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    wall: i64,
    steady: Duration,
}

impl ClockWatch {
    /// How far the wall clock may be behind, in microseconds, for it is slowed down a little where it is ahead.
    const TOLERATED: i64 = 1_000_000;

    /// Begins with what both clocks say: microseconds since 2000, and the time since some moment.
    pub fn new(wall: i64, steady: Duration) -> Self {
        Self { wall, steady }
    }

    /// Whether the wall clock was set back since the last call, or since the beginning.
    pub fn was_set_back(&mut self, wall: i64, steady: Duration) -> bool {
        let passed = i64::try_from(steady.saturating_sub(self.steady).as_micros()).unwrap_or(i64::MAX);
        let least = self.wall.saturating_add(passed).saturating_sub(Self::TOLERATED);
        *self = Self { wall, steady };
        wall < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_clock_that_was_set_back_is_noticed_once_however_long_ago_that_was() {
        let mut watch = ClockWatch::new(100 * SECOND, Duration::from_secs(5));
        assert!(!watch.was_set_back(160 * SECOND, Duration::from_secs(65)));
        // A minute later it says half a minute later.
        assert!(watch.was_set_back(190 * SECOND, Duration::from_secs(125)));
        assert!(!watch.was_set_back(250 * SECOND, Duration::from_secs(185)));
        assert!(watch.was_set_back(0, Duration::from_secs(186)));
    }

    #[test]
    fn a_clock_that_was_set_forward_or_is_slowed_down_is_none() {
        let mut watch = ClockWatch::new(0, Duration::ZERO);
        assert!(!watch.was_set_back(500 * SECOND, Duration::from_secs(1)));
        assert!(!watch.was_set_back(510 * SECOND - 5_000, Duration::from_secs(11)));
    }
}
