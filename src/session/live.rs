//! Checks with the registry: no table is written, no row waited for, and nothing fails.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::{Checked, Key, Loaded, Marked, Missing, Row};
use session_timeout_core::time::Timestamp;
use session_timeout_core::verdict::{Judgement, Request, Session, Status, judge};

use super::Known;
use super::check::{Answered, read_row};
use crate::catalog::Objects;
use crate::shared::Shared;
use crate::shared::counters::Counters;
use crate::shared::database::{self, Database};
use crate::transaction::{self, Change, Part, key_of};

/// How often a check starts again when its session keeps changing under it, before the row has the word.
const TRIES: usize = 8;

/// Answers a check. The caller's own changes are seen on the row; everything else is the registry's.
pub(super) fn evaluate(
    shared: &'static Shared,
    objects: &Objects,
    digest: &Digest,
    params: &Params,
    request: Request,
    now: Timestamp,
) -> Answered {
    let check = Check {
        shared,
        objects,
        key: key_of(objects, digest),
        params,
        request,
        now,
    };
    let answered = check.answer();
    check.count(&answered);
    answered
}

struct Check<'c> {
    shared: &'static Shared,
    objects: &'c Objects,
    key: Key,
    params: &'c Params,
    request: Request,
    now: Timestamp,
}

impl Check<'_> {
    fn answer(&self) -> Answered {
        if let Part::Own(change) = transaction::part_in(&self.key) {
            return self.own(change);
        }
        // SAFETY: a plain read of the server's state.
        if unsafe { pgrx::pg_sys::RecoveryInProgress() } {
            return self.standby();
        }
        let Some(database) = database::mine(self.shared) else {
            return self.row_alone();
        };
        // SAFETY: likewise. A parallel worker, to which a mislabelled caller has led, knows the leader's changes from the
        // rows alone.
        if unsafe { pgrx::pg_sys::ParallelWorkerNumber } >= 0 {
            return self.row_in_flux(self.read());
        }
        if database.flux.load(Acquire) > 0 {
            return self.row_in_flux(self.read());
        }
        for attempt in 0..TRIES {
            let ticket = match self
                .shared
                .registry
                .check(&self.key, self.params, self.request, self.now)
            {
                Checked::Answer {
                    judgement,
                    session,
                    newly_marked,
                    newly_dirty,
                } => {
                    if attempt == 0 && self.request != Request::Look {
                        self.counters().hits.add_one();
                    }
                    self.follow_up(database, newly_marked, newly_dirty);
                    return Answered::Session(judgement.into(), session);
                }
                Checked::InFlux => return self.row_in_flux(self.read()),
                Checked::Miss(ticket) => ticket,
            };
            match self.read() {
                Some(row) => match self.shared.registry.load(&self.key, ticket, &row) {
                    Loaded::Ready => self.counters().loads.add_one(),
                    Loaded::Stale => {}
                    Loaded::InFlux => return self.row_in_flux(Some(row)),
                    Loaded::Full => return self.row_when_full(database, &row),
                },
                None => match self.shared.registry.missing(&self.key, ticket) {
                    Missing::Closed => return Answered::NoSession(Status::Closed),
                    Missing::Unknown => return Answered::NoSession(Status::Unknown),
                    Missing::Stale => {}
                },
            }
        }
        self.row_in_flux(self.read())
    }

    /// What the registry's answer means for the worker.
    fn follow_up(&self, database: &Database, newly_marked: bool, newly_dirty: bool) {
        if newly_dirty {
            database.set_dirty();
        }
        if newly_marked {
            database.set_urgent();
            self.shared.control.wake_launcher();
        }
    }

    /// The caller's transaction has changed the session, or what it is judged by: its own row answers it, nobody else
    /// is told, and the touch follows at its end.
    fn own(&self, change: Option<Change>) -> Answered {
        let Some(row) = self.read() else {
            let status = if change == Some(Change::Closed) {
                Status::Closed
            } else {
                Status::Unknown
            };
            return Answered::NoSession(status);
        };
        self.judge_row(&row, |check, row| transaction::touch_later(&check.key, row, check.now))
    }

    /// Another transaction is committing a change of the session: the row answers, and an entry of the same opening
    /// takes the touch.
    fn row_in_flux(&self, row: Option<Row>) -> Answered {
        self.counters().in_flux.add_one();
        let Some(row) = row else {
            return Answered::NoSession(Status::Unknown);
        };
        let answered = self.judge_row(&row, |check, row| {
            if check.shared.registry.touch(&check.key, row.version, check.now) {
                if let Some(database) = database::mine(check.shared) {
                    database.set_dirty();
                }
            } else {
                check.counters().lost_touches.add_one();
            }
        });
        if matches!(
            answered,
            Answered::Session(Status::IdleExpired | Status::AbsoluteExpired, _)
        ) {
            self.mark(&row);
        }
        answered
    }

    /// The row has answered that the session is expired: that is final, if there is room for a mark.
    fn mark(&self, row: &Row) {
        if self.request == Request::Look {
            return;
        }
        if let Marked::Yes(_) = self.shared.registry.mark_expired(&self.key, row, self.params, self.now)
            && let Some(database) = database::mine(self.shared)
        {
            database.set_urgent();
            self.shared.control.wake_launcher();
        }
    }

    /// No entry can be had: the row answers, and the touch is lost.
    fn row_when_full(&self, database: &Database, row: &Row) -> Answered {
        self.counters().full.add_one();
        // Until a pass has made room.
        if database.full.swap(1, AcqRel) == 0 {
            database.set_dirty();
            database.set_urgent();
            self.shared.control.wake_launcher();
            self.say_full(database);
        }
        let answered = self.judge_row(row, |check, _| check.counters().lost_touches.add_one());
        if matches!(
            answered,
            Answered::Session(Status::IdleExpired | Status::AbsoluteExpired, _)
        ) {
            self.mark(row);
        }
        answered
    }

    /// Says in the log that the registry is full: once, and once an hour as long as it goes on.
    fn say_full(&self, database: &Database) {
        const AN_HOUR: i64 = 3_600_000_000;
        let now = self.now.micros();
        let said = database.full_said.load(Acquire);
        if now.saturating_sub(said) < AN_HOUR
            || database.full_said.compare_exchange(said, now, AcqRel, Acquire).is_err()
        {
            return;
        }
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "the session registry is full: further sessions are served from their rows, without recording activity",
            "",
        )
        .set_hint("Raise session_timeout.max_sessions.")
        .report(PgLogLevel::LOG);
    }

    /// More databases than there is room for: this one is served from its rows.
    fn row_alone(&self) -> Answered {
        self.counters().full.add_one();
        let Some(row) = self.read() else {
            return Answered::NoSession(Status::Unknown);
        };
        self.judge_row(&row, |check, _| check.counters().lost_touches.add_one())
    }

    /// On a standby: the replicated row, with the activity that this standby itself has seen. Nothing is marked.
    fn standby(&self) -> Answered {
        let Some(row) = self.read() else {
            return Answered::NoSession(Status::Unknown);
        };
        self.judge_row(&row, |check, row| {
            if !check.shared.registry.remember(&check.key, row, check.now) {
                check.counters().lost_touches.add_one();
            }
        })
    }

    fn judge_row(&self, row: &Row, touch: impl FnOnce(&Self, &Row)) -> Answered {
        let known = Known::of(self.objects, &self.key.digest, row);
        if let Some(expiry) = known.mark {
            return Answered::Session(expiry.into(), known.session);
        }
        let judgement = judge(&known.session, self.params, self.request, self.now);
        let mut session = known.session;
        if let Judgement::Valid { touch: true, .. } = judgement {
            touch(self, row);
            session = Session {
                last_activity: session.last_activity.max(self.now),
                ..session
            };
        }
        Answered::Session(judgement.into(), session)
    }

    fn read(&self) -> Option<Row> {
        read_row(self.objects, &self.key.digest)
    }

    fn counters(&self) -> &'static Counters {
        self.shared.count()
    }

    fn count(&self, answered: &Answered) {
        if self.request == Request::Look {
            return;
        }
        let counters = self.counters();
        counters.checks.add_one();
        let (Answered::Session(status, _) | Answered::NoSession(status)) = answered;
        match status {
            Status::Active => counters.touches.add_one(),
            Status::Ignored => counters.ignored.add_one(),
            Status::IdleExpired => counters.idle_expired.add_one(),
            Status::AbsoluteExpired => counters.absolute_expired.add_one(),
            Status::Closed => counters.closed.add_one(),
            Status::Unknown => counters.unknown.add_one(),
        }
    }
}
