//! Which answers a check, a verdict or a peek may give, and what is known afterwards.

use super::op::{Request, Verdict, user_name};
use super::state::{Model, Place, Session, State, View};
use super::time::{Limit, Micros, SECOND, Span, in_force};
use super::transaction::{Deferred, Transaction};

/// How long before its end a session warns.
const WARNING: Micros = 300 * SECOND;

/// How somebody looks at a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A request, whose findings count.
    Check(Request),
    /// A peek, which changes nothing.
    Peek,
    /// `rotate_session`, of the old sid.
    Rotate,
}

impl Look {
    fn request(self) -> Request {
        match self {
            Self::Check(request) => request,
            Self::Peek | Self::Rotate => Request::Look,
        }
    }
}

/// An answer: yes or no, perhaps with the fields of a verdict.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    pub valid: bool,
    pub verdict: Option<&'a Verdict>,
}

impl Model {
    /// Compares an answer with what is allowed, and takes in what it says. The error describes what is allowed.
    pub fn looked(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        look: Look,
        span: Span,
        said: Said,
    ) -> Result<(), String> {
        let view = self.view(transaction, span);
        let seen = match look {
            Look::Rotate => self.seen_or_locked(transaction, sid, span),
            _ => self.seen(transaction, sid, span),
        };
        let fitting: Vec<(Place, State)> = seen
            .iter()
            .copied()
            .filter(|(_, state)| self.fits(sid, state, &view, look, said, transaction.has_changed(sid)))
            .collect();
        if fitting.is_empty() {
            return Err(self.describe(&seen, &view, look));
        }
        if said.valid {
            self.was_valid(transaction, sid, look, span, said, &fitting);
        } else {
            self.was_not_valid(transaction, sid, look, span, &fitting);
        }
        Ok(())
    }

    /// The request ended without an answer: it may have counted.
    pub fn may_have_counted(&mut self, transaction: &Transaction, sid: usize, span: Span) {
        for (_, state) in self.seen(transaction, sid, span) {
            if let State::Open(session) = state {
                self.clocks[session.clocks].may_be_touched(span.to);
            }
        }
    }

    fn fits(&self, sid: usize, state: &State, view: &View, look: Look, said: Said, own: bool) -> bool {
        match state {
            State::Anything => true,
            State::Absent(before) => {
                let was_open = before.is_some() || self.sids[sid].was_opened;
                !said.valid && said.verdict.is_none_or(|verdict| says_absent(verdict, was_open))
            }
            State::Open(session) if said.valid => {
                self.can_be_valid(session, view, look.request())
                    && said
                        .verdict
                        .is_none_or(|verdict| self.says_valid(verdict, session, view, look))
            }
            State::Open(session) => {
                let (idle, old) = self.can_be_expired(session, view, own || look == Look::Peek);
                let fits = |verdict: &Verdict| match verdict.status.as_str() {
                    "idle_expired" => idle,
                    "absolute_expired" => old,
                    "unknown" | "closed" => true,
                    _ => false,
                };
                (idle || old) && said.verdict.is_none_or(fits)
            }
        }
    }

    /// Whether the fields are those of this session.
    fn says_valid(&self, verdict: &Verdict, session: &Session, view: &View, look: Look) -> bool {
        let clocks = &self.clocks[session.clocks];
        let (Some(opened_at), Some(activity)) = (verdict.opened_at, verdict.last_activity) else {
            return false;
        };
        let (touched, _) = clocks.known_at(view.span.from);
        let (status, activity_within) = match look.request() {
            // A request that judged earlier and is answered later does not move activity back.
            Request::Counts => ("active", Span::new(view.span.from, Micros::MAX)),
            Request::Ignored => ("ignored", Span::new(touched, Micros::MAX)),
            Request::Look => ("active", Span::new(touched, Micros::MAX)),
        };
        verdict.status == status
            && verdict.user == session.user.map(user_name)
            && clocks.opened.contains(opened_at)
            && activity_within.contains(activity)
            && activity <= self.activity_to(session.clocks, view.span.to).max(view.span.to)
            && ends_fit(verdict.expires_at, opened_at, activity, session, view)
            && warns(verdict, view.span)
    }

    fn was_valid(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        look: Look,
        span: Span,
        said: Said,
        fitting: &[(Place, State)],
    ) {
        let counts = look.request() == Request::Counts;
        if counts {
            for session in fitting.iter().filter_map(|(_, state)| state.session()) {
                self.clocks[session.clocks].may_be_touched(span.to);
            }
        }
        let [(place, State::Open(session))] = fitting else {
            return;
        };
        let own = transaction.has_changed(sid);
        if !own {
            self.clocks[session.clocks].was_alive(span.from, span.to);
            self.believe(sid, *place);
        }
        if let Some(opened_at) = said.verdict.and_then(|verdict| verdict.opened_at) {
            self.clocks[session.clocks].opened = Span::at(opened_at);
        }
        if counts && span.from >= self.up_since {
            let from = said
                .verdict
                .and_then(|verdict| verdict.last_activity)
                .unwrap_or(span.from);
            let from = from.min(span.to);
            if own {
                transaction.deferred.push(Deferred {
                    clocks: session.clocks,
                    from,
                    own: *place == Place::Own || transaction.changed_parameters,
                });
            } else {
                self.clocks[session.clocks].was_touched(from, span.to);
            }
        }
    }

    fn was_not_valid(
        &mut self,
        transaction: &mut Transaction,
        sid: usize,
        look: Look,
        span: Span,
        fitting: &[(Place, State)],
    ) {
        let [(place, State::Open(session))] = fitting else {
            return;
        };
        match look {
            Look::Peek => {}
            _ if !transaction.has_changed(sid) => self.clocks[session.clocks].was_expired(span.to),
            Look::Check(_) => {}
            // It has deleted the row, by what only this transaction knows.
            Look::Rotate => self.doubt(transaction, sid, *place),
        }
        if look == Look::Rotate {
            transaction.may_have_changed(sid);
        }
    }

    /// It may be found expired, or not.
    pub fn doubt(&mut self, transaction: &mut Transaction, sid: usize, place: Place) {
        let state = match place {
            Place::Own => transaction.changes.own.get_mut(&sid).map(|own| &mut own.state),
            Place::Committed(id) => self.sids[sid].history.value_mut(id),
        };
        if let Some(State::Open(session)) = state {
            session.doubt = true;
        }
    }

    /// It was not found expired.
    fn believe(&mut self, sid: usize, place: Place) {
        if let Place::Committed(id) = place
            && let Some(State::Open(session)) = self.sids[sid].history.value_mut(id)
        {
            session.doubt = false;
        }
    }

    /// What is allowed, in words.
    fn describe(&self, seen: &[(Place, State)], view: &View, look: Look) -> String {
        let mut text = format!(
            "delay in force: {:?}, absolute delay: {:?}, skip_check: {:?} (µs)\n",
            view.delays, view.absolutes, view.skip
        );
        for (place, state) in seen {
            let place = match place {
                Place::Own => "the transaction's own change",
                Place::Committed(_) => "committed",
            };
            match state {
                State::Absent(_) => text += &format!("  {place}: not open; allowed: not valid\n"),
                State::Anything => text += &format!("  {place}: not known; allowed: anything\n"),
                State::Open(session) => {
                    let clocks = &self.clocks[session.clocks];
                    let (idle, old) = self.can_be_expired(session, view, look == Look::Peek);
                    text += &format!(
                        "  {place}: {session:?}\n    opened within {:?}, activity {} to {}, valid at {}, found expired by {:?}\n",
                        clocks.opened,
                        clocks.activity_from(),
                        self.activity_to(session.clocks, view.span.to),
                        clocks.alive,
                        clocks.expired
                    );
                    text += &format!(
                        "    allowed: valid: {}, idle_expired: {idle}, absolute_expired: {old}\n",
                        self.can_be_valid(session, view, look.request())
                    );
                }
            }
        }
        text
    }
}

/// Whether the fields are those of a sid under which nothing is open.
fn says_absent(verdict: &Verdict, was_open: bool) -> bool {
    let status = verdict.status.as_str();
    !verdict.warn
        && (status == "unknown" || (was_open && ["closed", "idle_expired", "absolute_expired"].contains(&status)))
}

/// Whether it warns as by the default of that parameter, which nobody changes.
fn warns(verdict: &Verdict, span: Span) -> bool {
    let left = |now: Micros| verdict.expires_at.map_or(Micros::MAX, |end| end.saturating_sub(now));
    if verdict.warn {
        left(span.to) <= WARNING
    } else {
        left(span.from) > WARNING
    }
}

/// Whether it ends then by these clocks, with some combination of parameters. An activity in the future counts as now.
fn ends_fit(expires_at: Limit, opened_at: Micros, activity: Micros, session: &Session, view: &View) -> bool {
    let counts_as = Span::new(activity.min(view.span.from), activity.min(view.span.to));
    let counts_as = if activity <= view.span.to {
        Span::at(activity)
    } else {
        counts_as
    };
    let end = |limit: Limit, since: Micros| limit.map(|limit| since.saturating_add(limit));
    let mut combinations = view
        .delays
        .iter()
        .flat_map(|&delay| view.absolutes.iter().map(move |&absolute| (delay, absolute)));
    combinations.any(|(delay, absolute)| {
        let old = end(in_force(absolute, session.absolute), opened_at);
        let ends = |activity: Micros| in_force(end(in_force(delay, session.idle), activity), old);
        match (ends(counts_as.from), ends(counts_as.to), expires_at) {
            (Some(from), Some(to), Some(at)) => from <= at && at <= to,
            (None, _, at) => at.is_none(),
            _ => false,
        }
    })
}
