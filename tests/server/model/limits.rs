//! What can be said of a session's limits, with what is known of its clocks and of the parameters.

use super::clocks::ClocksId;
use super::op::Request;
use super::state::{Model, Session, View};
use super::time::{Limit, Micros, Span, in_force};

/// How long a transaction of the worker's may take on a busy machine: it goes by the parameters of its beginning.
const WORKERS_TRANSACTION: Micros = 500_000;

impl Model {
    /// The latest that its last activity can be, by then.
    pub fn activity_to(&self, id: ClocksId, by: Micros) -> Micros {
        let clocks = &self.clocks[id];
        let under_way = clocks.names.iter().any(|&sid| !self.sids[sid].checks.is_empty());
        if under_way {
            clocks.activity_to().max(by)
        } else {
            clocks.activity_to()
        }
    }

    /// Whether a request of this session can be answered that it is valid.
    pub fn can_be_valid(&self, session: &Session, view: &View, request: Request) -> bool {
        let clocks = &self.clocks[session.clocks];
        let begun = view.span.from;
        if clocks.expired.is_some_and(|known| known <= begun) {
            return false;
        }
        let within = |limit: Limit, since: Micros| limit.is_none_or(|limit| begun <= since.saturating_add(limit));
        let activity = self.activity_to(session.clocks, view.span.to);
        let young = view
            .absolutes
            .iter()
            .any(|&limit| within(in_force(limit, session.absolute), clocks.opened.to));
        let used = view
            .delays
            .iter()
            .any(|&limit| within(in_force(limit, session.idle), activity));
        let skipped = request == Request::Ignored && view.skip.contains(&true);
        young && (used || skipped)
    }

    /// Whether this session can have been found expired by the end of the view, by whomever: idle too long, too old.
    /// `at_once`: as it was known when the view began, for an answer after which it may be valid again.
    pub fn can_be_expired(&self, session: &Session, view: &View, at_once: bool) -> (bool, bool) {
        let clocks = &self.clocks[session.clocks];
        if session.doubt || clocks.expired.is_some() {
            return (true, true);
        }
        let (touched, alive) = if at_once {
            clocks.known_at(view.span.from)
        } else {
            (clocks.activity_from(), clocks.alive)
        };
        let by = view.span.to;
        let past =
            |limit: Limit, since: Micros, by: Micros| limit.is_some_and(|limit| by > since.saturating_add(limit));
        let mut idle = view
            .delays
            .iter()
            .any(|&limit| past(in_force(limit, session.idle), touched, by));
        let mut old = view
            .absolutes
            .iter()
            .any(|&limit| past(in_force(limit, session.absolute), clocks.opened.from, by));
        for window in &clocks.limits {
            let overlap = |during: Span| {
                let to = by.min(during.to).min(window.during.to);
                (to >= alive.max(during.from).max(window.during.from)).then_some(to)
            };
            idle = idle
                || self.delay.windows(alive).any(|(limit, during)| {
                    overlap(during).is_some_and(|to| past(in_force(limit, window.idle), touched, to))
                });
            old = old
                || self.absolute.windows(alive).any(|(limit, during)| {
                    overlap(during).is_some_and(|to| past(in_force(limit, window.absolute), clocks.opened.from, to))
                });
        }
        let by_worker = Span::new(alive.saturating_sub(WORKERS_TRANSACTION), Micros::MAX);
        let by_hand = self.purges.iter().map(|&(_, purge)| purge);
        for purge in by_hand.chain([by_worker]).filter(|purge| purge.to >= alive) {
            let to = by.min(purge.to);
            let delays = self.delay.windows(purge.from);
            idle = idle
                || delays
                    .into_iter()
                    .any(|(limit, _)| past(in_force(limit, session.idle), touched, to));
            let absolutes = self.absolute.windows(purge.from);
            let is_old = |limit: Limit| past(in_force(limit, session.absolute), clocks.opened.from, to);
            old = old || absolutes.into_iter().any(|(limit, _)| is_old(limit));
        }
        (idle, old)
    }

    /// Whether it can be, for any reason.
    pub fn may_be_expired(&self, session: &Session, view: &View) -> bool {
        let (idle, old) = self.can_be_expired(session, view, false);
        idle || old
    }

    /// Whether whoever judges it within the view, by both limits, must find it expired.
    pub fn must_be_expired(&self, session: &Session, view: &View) -> bool {
        !self.can_be_valid(session, view, Request::Look)
    }
}
