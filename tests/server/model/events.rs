//! Which rows `session_event` must have in the end: one for each login that ended, in order.

use super::clocks::ClocksId;
use super::state::{Session, View};
use super::time::Micros;

/// How a login was ended by a transaction that is not yet committed.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    pub sid: usize,
    pub how: How,
}

#[derive(Debug, Clone, Copy)]
pub enum How {
    /// Closed, or its row deleted by hand, by a statement that began then.
    Closed(Session, Micros),
    Revoked(Session, Micros),
    /// Another login took its place. It has an event only where it was found expired.
    Replaced(Session, Found),
    /// Its clocks were set by hand. It has an event only if it was found expired before that was committed.
    ClocksSet(Session),
    /// Nobody knows.
    Unclear,
}

/// Whether a statement found a session expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Certainly,
    Perhaps,
    Not,
}

/// The kinds of events that a login can have ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub closed: bool,
    pub revoked: bool,
    pub expired: bool,
    /// Otherwise there may be no event at all.
    pub must: bool,
    /// Its place among those of the same sid: that of its commit.
    pub order: u64,
    pub clocks: ClocksId,
}

impl Ended {
    fn fits(self, kind: &str) -> bool {
        match kind {
            "closed" => self.closed,
            "revoked" => self.revoked,
            "idle_expired" | "absolute_expired" => self.expired,
            _ => false,
        }
    }
}

impl super::state::Model {
    /// An ending is committed.
    pub fn ended(&mut self, ending: Ending, view: &View, order: u64) {
        let found =
            |session: &Session, by: Micros| self.clocks[session.clocks].expired.is_some_and(|known| known <= by);
        let ended = match ending.how {
            How::Unclear => {
                self.sids[ending.sid].unclear = true;
                return;
            }
            How::Closed(session, begun) => Ended {
                closed: !found(&session, begun),
                revoked: false,
                expired: self.may_be_expired(&session, view),
                must: true,
                order,
                clocks: session.clocks,
            },
            How::Revoked(session, begun) => Ended {
                closed: false,
                revoked: !found(&session, begun),
                expired: self.may_be_expired(&session, view),
                must: true,
                order,
                clocks: session.clocks,
            },
            How::ClocksSet(session) => Ended {
                closed: false,
                revoked: false,
                expired: self.may_be_expired(&session, view),
                must: false,
                order,
                clocks: session.clocks,
            },
            How::Replaced(session, by_it) => Ended {
                closed: false,
                revoked: false,
                expired: by_it != Found::Not || self.may_be_expired(&session, view),
                must: by_it == Found::Certainly || found(&session, Micros::MAX),
                order,
                clocks: session.clocks,
            },
        };
        let before = &mut self.sids[ending.sid].ended;
        if let Some(same) = before.iter_mut().find(|before| before.clocks == ended.clocks) {
            // Two have seen its end, of whom one ended it.
            same.order = same.order.min(order);
            same.must |= ended.must;
            same.expired |= ended.expired;
        } else if ended.closed || ended.revoked || ended.expired {
            before.push(ended);
        }
    }
}

/// Whether the events, in order, can be those of the logins, in order.
pub fn agree(ended: &[Ended], kinds: &[String]) -> bool {
    // What can be left of the logins after each event.
    let mut reached = vec![true; ended.len() + 1];
    for n in 1..=ended.len() {
        reached[n] = reached[n - 1] && !ended[n - 1].must;
    }
    for kind in kinds {
        let mut next = vec![false; ended.len() + 1];
        for n in 1..=ended.len() {
            next[n] = (reached[n - 1] && ended[n - 1].fits(kind)) || (next[n - 1] && !ended[n - 1].must);
        }
        reached = next;
    }
    reached[ended.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Ended = Ended {
        closed: true,
        revoked: false,
        expired: false,
        must: true,
        order: 0,
        clocks: 0,
    };
    const PERHAPS_EXPIRED: Ended = Ended {
        closed: false,
        revoked: false,
        expired: true,
        must: false,
        order: 0,
        clocks: 0,
    };

    fn agrees(ended: &[Ended], kinds: &[&str]) -> bool {
        agree(ended, &kinds.iter().map(|&kind| kind.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn each_login_that_ended_has_one_event_in_order() {
        assert!(agrees(&[CLOSED, PERHAPS_EXPIRED, CLOSED], &["closed", "closed"]));
        assert!(agrees(
            &[CLOSED, PERHAPS_EXPIRED, CLOSED],
            &["closed", "idle_expired", "closed"]
        ));
        assert!(agrees(&[], &[]));
        assert!(!agrees(
            &[CLOSED, PERHAPS_EXPIRED, CLOSED],
            &["idle_expired", "closed", "closed"]
        ));
    }

    #[test]
    fn a_missing_a_double_and_a_wrong_event_are_noticed() {
        assert!(!agrees(&[CLOSED], &[]));
        assert!(!agrees(&[CLOSED], &["closed", "closed"]));
        assert!(!agrees(&[CLOSED], &["revoked"]));
        assert!(!agrees(&[PERHAPS_EXPIRED], &["idle_expired", "idle_expired"]));
    }
}
