//! What is known of one login's two clocks, and of whether it was found expired.
//!
//! The login keeps its clocks through rotations and changes of its limits. An activity set by hand makes new ones.

use std::collections::VecDeque;

use super::time::{Limit, Micros, Span};

/// Names a login's clocks within one database.
pub type ClocksId = usize;

/// Limits that the login had for others to see, and from when to when.
#[derive(Debug, Clone, Copy)]
pub struct LimitWindow {
    pub idle: Limit,
    pub absolute: Limit,
    pub during: Span,
}

/// As much of the clocks as can move, as it was known at some time.
#[derive(Debug, Clone, Copy)]
struct Knowledge {
    at: Micros,
    touched: Micros,
    alive: Micros,
}

/// The clocks of a login.
#[derive(Debug, Clone)]
pub struct Clocks {
    /// `opened_at` lies in here.
    pub opened: Span,
    /// The activity that was written with the row lies in here. From before the end, where it lies in the future.
    written: Span,
    /// The activity is at least this.
    touched: Micros,
    /// And at most this, but for checks under way.
    latest: Micros,
    /// Nobody had found it expired then.
    pub alive: Micros,
    /// Found expired, and known to be since then.
    pub expired: Option<Micros>,
    pub limits: Vec<LimitWindow>,
    /// The sids that it was open under: a check of an old one may still be under way.
    pub names: Vec<usize>,
    past: VecDeque<Knowledge>,
}

/// How far back it is remembered what was known.
const REMEMBERED: usize = 40;

impl Clocks {
    /// Of a login that was opened within `opened`, with an activity written within `written`, by a statement of `during`.
    pub fn new(sid: usize, opened: Span, written: Span, during: Span) -> Self {
        Self {
            opened,
            written,
            touched: written.from,
            latest: written.to,
            alive: during.from,
            expired: None,
            limits: Vec::new(),
            names: vec![sid],
            past: VecDeque::new(),
        }
    }

    /// The earliest that the last activity can be.
    pub fn activity_from(&self) -> Micros {
        self.touched
    }

    /// The latest that the last activity can be by the end of `span`, where no check of it is under way.
    pub fn activity_to(&self) -> Micros {
        self.latest
    }

    /// What was known at a time: that activity was at least the first, and nobody had found it expired by the second.
    pub fn known_at(&self, time: Micros) -> (Micros, Micros) {
        let newest_first = [Knowledge {
            at: Micros::MIN,
            touched: self.touched,
            alive: self.alive,
        }];
        let then = self.past.iter().rev().find(|known| known.at <= time);
        let known = match (then, self.past.len()) {
            (Some(known), _) => known,
            (None, 0) => &newest_first[0],
            // Forgotten, or from before the first change: the least that can have been.
            (None, _) => {
                return (self.written.from, Micros::MIN);
            }
        };
        (known.touched, known.alive)
    }

    /// It was valid at some time after `from`, as an answer said that came at `at`.
    pub fn was_alive(&mut self, from: Micros, at: Micros) {
        self.alive = self.alive.max(from);
        self.remember(at);
    }

    /// It was used at `from` or later, as is known since `at`, and that was recorded.
    pub fn was_touched(&mut self, from: Micros, at: Micros) {
        self.touched = self.touched.max(from);
        self.remember(at);
    }

    /// It may have been used, at `to` at the latest.
    pub fn may_be_touched(&mut self, to: Micros) {
        self.latest = self.latest.max(to);
    }

    /// It was found expired, by the end of `span`.
    pub fn was_expired(&mut self, by: Micros) {
        self.expired.get_or_insert(by);
    }

    /// The server has crashed: what was only in memory may be lost.
    pub fn crashed(&mut self, at: Micros) {
        self.touched = self.written.from;
        self.expired = None;
        self.remember(at);
    }

    fn remember(&mut self, at: Micros) {
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Knowledge {
            at,
            touched: self.touched,
            alive: self.alive,
        });
    }

    /// Limits that are for others to see from the commit on that is sent now.
    pub fn limits_sent(&mut self, idle: Limit, absolute: Limit, at: Micros) {
        self.limits.push(LimitWindow {
            idle,
            absolute,
            during: Span::new(at, Micros::MAX),
        });
    }

    /// That commit was answered: those before are over.
    pub fn limits_answered(&mut self, at: Micros) {
        if let Some((_, before)) = self.limits.split_last_mut() {
            for window in before {
                window.during.to = window.during.to.min(at);
            }
        }
    }
}
