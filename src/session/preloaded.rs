//! Checks with the registry. They write no table, wait for no row, and fail for no reason of their own.
//!
//! | who answers | if |
//! | --- | --- |
//! | an entry of the registry | it is verified: a hit |
//! | the row, which is then loaded, and the entry | there is no verified entry: a miss |
//! | the row, with the touch or expiry recorded in the entry | another transaction is invalidating the session, or there is no room for an entry |
//! | the row, with the touch at the end of the transaction | the current transaction has changed the session |
//! | the row, and the activity that this standby has seen | the server is a standby |
//! | the row alone | the database has no place, or this is a parallel worker of a transaction that writes |
//!
//! The protocol of the registry is in [`session_timeout_core::registry`].

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};
use session_timeout_core::registry::{Checked, Loaded, Missing, Row, Touched, UnrecordedLimits};
use session_timeout_core::time::{Clock, Timestamp};
use session_timeout_core::verdict::{Expiry, Judgement, Request, Status, judge};

use super::answer::{Answer, Check};
use super::expiry::{self, FoundExpired, Recorded};
use super::known::Known;
use crate::pg::clock::CheckClock;
use crate::pg::transaction::is_worker_of_a_writer;
use crate::rows::session::SessionRow;
use crate::shared::attached::Attached;
use crate::shared::counters::Counters;
use crate::shared::database::Database;
use crate::shared::segment::prefetch;
use crate::xact::notes::{self, Change};

/// How many times a check starts again while its session keeps changing, before the row answers.
const TRIES: usize = 8;

/// Answers a check, and says by which time.
pub fn evaluate(attached: &Attached, check: &Check) -> (Answer, Timestamp) {
    let registry = &attached.shared.registry;
    // The processor fetches the entry while the clock is read.
    prefetch(registry.bucket(&check.key));
    let clock = CheckClock::start();
    if let Some(slot) = registry.probable_slot(&check.key) {
        prefetch(slot);
    }
    let evaluation = Evaluation {
        attached,
        check,
        clock,
        is_hit: Cell::new(false),
    };
    let answer = evaluation.answer();
    evaluation.count(answer.status);
    (answer, evaluation.now())
}

/// What must be recorded of a check that a row answered.
#[derive(Clone, Copy)]
enum ToRecord {
    Nothing,
    Touch,
    Expiry(Expiry),
}

struct Evaluation<'c> {
    attached: &'c Attached,
    check: &'c Check,
    clock: CheckClock,
    /// An entry of the registry has answered, at the first try.
    is_hit: Cell<bool>,
}

impl Evaluation<'_> {
    fn answer(&self) -> Answer {
        if let Some(change) = notes::own_change(&self.check.key) {
            return self.answer_after_own_change(change);
        }
        if self.attached.in_recovery {
            return self.answer_on_standby();
        }
        let Some(database) = self.attached.database() else {
            self.counters().full.add_one();
            return self.answer_from_row();
        };
        // A caller with a wrong PARALLEL label may lead here.
        if is_worker_of_a_writer() {
            self.counters().invalidating.add_one();
            return self.answer_from_row();
        }
        for attempt in 1..TRIES {
            if let Some(answer) = self.attempt(database, attempt == 1, false) {
                return answer;
            }
        }
        self.attempt(database, false, true)
            .unwrap_or_else(|| self.answer_from_row())
    }

    /// `None` if the session has changed meanwhile. In the last attempt the row answers.
    fn attempt(&self, database: &'static Database, is_first: bool, is_last: bool) -> Option<Answer> {
        if is_last || database.invalidations.load(Acquire) > 0 {
            return self.answer_while_invalidating(self.read(), is_last);
        }
        let Check {
            key, params, request, ..
        } = self.check;
        let registry = &self.attached.shared.registry;
        let ticket = match registry.check(key, params, *request, &self.clock) {
            Checked::Answer {
                judgement,
                session,
                newly_expired,
                newly_dirty,
            } => {
                self.is_hit.set(is_first);
                if newly_dirty {
                    database.touched(session.idle_delay, self.now());
                }
                if newly_expired {
                    self.attached.hurry();
                }
                return Some(Answer::of(judgement.into(), session));
            }
            Checked::Invalidating => return self.answer_while_invalidating(self.read(), is_last),
            Checked::Miss(ticket) => ticket,
        };
        match self.read() {
            Some(row) => {
                let limits = database.unrecorded.limits();
                if !limits.is_none() {
                    let known = self.known(&row);
                    if let Some(expiry) = known.expired {
                        return Some(Answer::of(expiry.into(), known.session));
                    }
                }
                let are_unchanged = || database.unrecorded.limits() == limits;
                match registry.load_if(key, ticket, &row, are_unchanged) {
                    Loaded::Ready => {
                        self.counters().loads.add_one();
                        None
                    }
                    Loaded::Stale => None,
                    Loaded::Invalidating => self.answer_while_invalidating(Some(row), is_last),
                    Loaded::Full => self.answer_when_full(database, &row),
                }
            }
            None => match registry.missing(key, ticket) {
                Missing::Closed => Some(Answer::none(Status::Closed)),
                Missing::Unknown => Some(Answer::none(Status::Unknown)),
                Missing::Stale => None,
            },
        }
    }

    /// The caller's transaction has changed the session, or what it is judged by: its row answers.
    fn answer_after_own_change(&self, change: Change) -> Answer {
        for attempt in 1.. {
            let limits = self.unrecorded_limits();
            let Some((row, is_own)) = self.read_with_writer() else {
                return Answer::none(match change {
                    Change::Closed => Status::Closed,
                    Change::None | Change::Written | Change::Expired => Status::Unknown,
                });
            };
            let (answer, to_record) = self.judge_row(&row);
            let is_last = attempt >= TRIES;
            match to_record {
                // Others see the same row: the touch counts whatever becomes of this transaction.
                ToRecord::Touch if !is_own && !notes::has_changed_parameters() => {
                    match self.touch_by_row(&row, &limits) {
                        Touched::Yes => {}
                        Touched::Over if !is_last => continue,
                        Touched::Over | Touched::NoEntry => self.counters().lost_touches.add_one(),
                    }
                }
                ToRecord::Touch => notes::touch_later(&self.check.key, &row, self.now()),
                ToRecord::Expiry(expiry) => {
                    let row = answer.judged_row(&row);
                    match self.record(FoundExpired { row, is_own, expiry }, is_last) {
                        Recorded::Yes => {}
                        Recorded::StillValid | Recorded::Outdated if !is_last => continue,
                        Recorded::StillValid | Recorded::Outdated => {}
                    }
                }
                ToRecord::Nothing => {}
            }
            return answer;
        }
        unreachable!("the last attempt answers")
    }

    /// Another transaction is committing a change of the session: the row answers, and an entry of the same version takes the
    /// touch. `None` if that version was retired meanwhile.
    fn answer_while_invalidating(&self, row: Option<Row>, is_last: bool) -> Option<Answer> {
        let Some(row) = row else {
            self.counters().invalidating.add_one();
            return Some(Answer::none(Status::Unknown));
        };
        let limits = self.unrecorded_limits();
        let (answer, to_record) = self.judge_row(&row);
        match to_record {
            ToRecord::Touch => match self.touch_by_row(&row, &limits) {
                Touched::Yes => {}
                Touched::Over if !is_last => return None,
                Touched::Over | Touched::NoEntry => self.counters().lost_touches.add_one(),
            },
            ToRecord::Expiry(expiry) => match self.record(committed(row, expiry), is_last) {
                Recorded::Yes => {}
                Recorded::StillValid | Recorded::Outdated if !is_last => return None,
                Recorded::StillValid | Recorded::Outdated => {}
            },
            ToRecord::Nothing => {}
        }
        self.counters().invalidating.add_one();
        Some(answer)
    }

    /// The row has answered that the session is valid: an entry of its version takes the touch. If there is none, one is made.
    /// `limits` are those of before the row was judged.
    fn touch_by_row(&self, row: &Row, limits: &UnrecordedLimits) -> Touched {
        let (registry, key) = (&self.attached.shared.registry, &self.check.key);
        let touched = match registry.touch(key, row.version, self.now()) {
            Touched::NoEntry => {
                let are_unchanged = || self.unrecorded_limits() == *limits;
                registry.touch_by_row(key, row, self.now(), are_unchanged)
            }
            touched => touched,
        };
        if touched == Touched::Yes
            && let Some(database) = self.attached.database()
        {
            database.touched(row.session.idle_delay, self.now());
        }
        touched
    }

    /// The limits that stand for this database's unrecorded expiries.
    fn unrecorded_limits(&self) -> UnrecordedLimits {
        let database = self.attached.database();
        database.map_or_else(UnrecordedLimits::default, |database| database.unrecorded.limits())
    }

    /// The row has answered that the session is expired: records it.
    fn record(&self, found: FoundExpired, insist: bool) -> Recorded {
        expiry::record(self.attached, &self.check.key, &found, &self.check.params, insist)
    }

    /// There is no room for an entry: the row answers, and the touch is lost. `None` if the row was not the newest, or the
    /// session has been touched meanwhile.
    fn answer_when_full(&self, database: &Database, row: &Row) -> Option<Answer> {
        let (answer, to_record) = self.judge_row(row);
        match to_record {
            ToRecord::Touch => self.counters().lost_touches.add_one(),
            ToRecord::Expiry(expiry) => match self.record(committed(*row, expiry), false) {
                Recorded::Yes => {}
                Recorded::StillValid | Recorded::Outdated => return None,
            },
            ToRecord::Nothing => {}
        }
        self.counters().full.add_one();
        // Until a pass has made room.
        if database.make_room_soon() {
            self.attached.shared.control.wake_launcher();
            self.log_full(database);
        }
        Some(answer)
    }

    /// Logs that the registry is full: once, and once an hour while it lasts.
    fn log_full(&self, database: &Database) {
        const AN_HOUR: i64 = 3_600_000_000;
        let now = self.now().micros();
        let logged = database.full_logged.load(Acquire);
        if (0..AN_HOUR).contains(&now.saturating_sub(logged))
            || database
                .full_logged
                .compare_exchange(logged, now, AcqRel, Acquire)
                .is_err()
        {
            return;
        }
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "session registry is full",
            "",
        )
        .set_detail("Further sessions are checked against their rows, and their activity is not recorded.")
        .set_hint("You might need to increase session_timeout.max_sessions.")
        .report(PgLogLevel::LOG);
    }

    /// Nothing can be recorded: the row alone answers.
    fn answer_from_row(&self) -> Answer {
        let Some(row) = self.read() else {
            return Answer::none(Status::Unknown);
        };
        let (answer, to_record) = self.judge_row(&row);
        match to_record {
            ToRecord::Touch => self.counters().lost_touches.add_one(),
            ToRecord::Expiry(_) | ToRecord::Nothing => {}
        }
        answer
    }

    /// On a standby: the replicated row answers, with the activity that this standby has seen. No expiry is recorded.
    fn answer_on_standby(&self) -> Answer {
        let Some(row) = self.read() else {
            return Answer::none(Status::Unknown);
        };
        let (answer, to_record) = self.judge_row(&row);
        match to_record {
            ToRecord::Touch => {
                let registry = &self.attached.shared.registry;
                let has_place = self.attached.database().is_some();
                if !has_place || !registry.remember(&self.check.key, &row, self.now()) {
                    self.counters().lost_touches.add_one();
                }
            }
            ToRecord::Expiry(_) | ToRecord::Nothing => {}
        }
        answer
    }

    /// Judges a row, with what else is known of its version. Returns the answer, and what must be recorded.
    fn judge_row(&self, row: &Row) -> (Answer, ToRecord) {
        let known = self.known(row);
        if let Some(expiry) = known.expired {
            return (Answer::of(expiry.into(), known.session), ToRecord::Nothing);
        }
        let Check { params, request, .. } = self.check;
        let judgement = judge(&known.session, params, *request, self.now());
        let mut session = known.session;
        let to_record = match judgement {
            Judgement::Valid { touch: true, .. } => {
                session.last_activity = session.last_activity.max(self.now());
                ToRecord::Touch
            }
            Judgement::Expired(expiry) if *request != Request::Look => ToRecord::Expiry(expiry),
            Judgement::Valid { .. } | Judgement::Expired(_) => ToRecord::Nothing,
        };
        (Answer::of(judgement.into(), session), to_record)
    }

    fn known(&self, row: &Row) -> Known {
        Known::of(Some(self.attached), &self.check.key, row)
    }

    fn read(&self) -> Option<Row> {
        self.read_with_writer().map(|(row, _)| row)
    }

    /// The row, and whether the caller's transaction wrote it.
    fn read_with_writer(&self) -> Option<(Row, bool)> {
        let read = self.check.read(|tuple| (tuple.row(), tuple.is_own()));
        // That may have waited for the table.
        (&self.clock).now_after_wait();
        read
    }

    fn now(&self) -> Timestamp {
        (&self.clock).now()
    }

    fn counters(&self) -> &'static Counters {
        self.attached.shared.counters_of_this_process()
    }

    fn count(&self, status: Status) {
        if self.check.request == Request::Look {
            return;
        }
        // A hit adds to one counter: the others follow from these.
        let counters = self.counters();
        if !self.is_hit.get() {
            counters.misses.add_one();
        }
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

/// Found on a row that other transactions see too.
fn committed(row: Row, expiry: Expiry) -> FoundExpired {
    FoundExpired {
        row,
        is_own: false,
        expiry,
    }
}
