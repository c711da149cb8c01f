//! Checks with the registry: no table is written, no row waited for, and nothing fails.

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};
use session_timeout_core::digest::Digest;
use session_timeout_core::params::Params;
use session_timeout_core::registry::{Checked, Key, Loaded, Marked, Missing, Row, Touched, UnrecordedLimits};
use session_timeout_core::time::{Clock, Timestamp};
use session_timeout_core::verdict::{Expiry, Judgement, Request, Status, judge};

use super::Known;
use super::check::{self, Answered};
use crate::catalog::Objects;
use crate::clock::{self, CheckClock};
use crate::shared::counters::Counters;
use crate::shared::database::{self, Database};
use crate::shared::{Shared, prefetch};
use crate::store::session_row::SessionRow;
use crate::transaction::{self, Change, Part, key_of};
use crate::unguarded;

/// How often a check starts again when its session keeps changing under it, before the row has the word.
const TRIES: usize = 8;

/// Answers a check. The caller's own changes are seen on the row; everything else is the registry's.
pub(super) fn evaluate(
    shared: &'static Shared,
    objects: &Objects,
    digest: &Digest,
    params: &Params,
    request: Request,
) -> (Answered, Timestamp) {
    let key = key_of(objects, digest);
    // The entry is on its way into the processor's cache while the clock is read.
    prefetch(shared.registry.bucket(&key));
    let clock = CheckClock::start();
    if let Some(slot) = shared.registry.probable_slot(&key) {
        prefetch(slot);
    }
    let check = Check {
        shared,
        objects,
        key,
        params,
        request,
        clock,
        is_hit: Cell::new(false),
    };
    let answered = check.answer();
    check.count(&answered);
    (answered, check.now())
}

/// What is to be recorded of a check that a row answered.
#[derive(Clone, Copy)]
enum Found {
    Nothing,
    Touch,
    Expiry(Expiry),
}

/// What became of an expiry that was found on a row.
pub(super) enum Recorded {
    /// It is final from now on, or from the end of this transaction on, as far as there is room to say so.
    Yes,
    /// The session has been touched meanwhile: it is valid.
    StillValid,
    /// The row is not the newest, or is being replaced: look again.
    Over,
}

/// Records that a session is past a limit, in memory, so that it stays so whatever becomes of this transaction. `session` is
/// what is known of the session in the row, as it was judged; `is_own`: this transaction wrote that row, and nobody else sees
/// it; `insist` where looking again has led to nothing.
pub(super) fn record_expiry(
    shared: &'static Shared,
    key: &Key,
    row: &Row,
    is_own: bool,
    params: &Params,
    expiry: Expiry,
    insist: bool,
) -> Recorded {
    let now = clock::now();
    let mark = || match (transaction::has_changed_parameters(), is_own) {
        // Found by what only this transaction sees.
        (true, _) => None,
        (false, true) => shared.registry.mark_known(key, row, params, now),
        (false, false) => Some(shared.registry.mark_expired(key, row, params, now, insist)),
    };
    let mut marked = mark();
    if marked == Some(Marked::Full)
        && let Some(database) = database::mine(shared)
    {
        database.unrecorded.add(&row.session, expiry, now);
        // The purge finds it by its row: soon, as nothing else brings it.
        database.hurry_purge();
        // A load that did not know of that yet may have made an entry meanwhile.
        marked = mark();
    }
    match marked {
        Some(Marked::Yes(_) | Marked::Full) => tell_of_mark(shared),
        Some(Marked::No) => return Recorded::StillValid,
        Some(Marked::Over) => return Recorded::Over,
        None => transaction::expire_later(key, row, expiry),
    }
    Recorded::Yes
}

fn tell_of_mark(shared: &'static Shared) {
    if let Some(database) = database::mine(shared) {
        database.set_urgent();
        shared.control.wake_launcher();
    }
}

struct Check<'c> {
    shared: &'static Shared,
    objects: &'c Objects,
    key: Key,
    params: &'c Params,
    request: Request,
    clock: CheckClock,
    /// An entry of the registry has answered, at the first try.
    is_hit: Cell<bool>,
}

impl Check<'_> {
    fn answer(&self) -> Answered {
        if let Part::Own(change) = transaction::part_in(&self.key) {
            return self.own(change);
        }
        if unguarded::recovery_in_progress() {
            return self.standby();
        }
        let Some(database) = database::mine(self.shared) else {
            self.counters().full.add_one();
            return self.row_alone();
        };
        // SAFETY: plain reads. A parallel worker, to which a mislabelled caller has led, sees on the rows what its leader has
        // changed, without knowing that it is not committed. One whose leader has no transaction id has changed nothing.
        if unsafe {
            pgrx::pg_sys::ParallelWorkerNumber >= 0 && pgrx::pg_sys::GetTopTransactionIdIfAny().into_inner() != 0
        } {
            self.counters().in_flux.add_one();
            return self.row_alone();
        }
        for attempt in 1..TRIES {
            if let Some(answered) = self.attempt(database, attempt == 1, false) {
                return answered;
            }
        }
        self.attempt(database, false, true).unwrap_or_else(|| self.row_alone())
    }

    /// `None` where the session has changed meanwhile. `last`: the row has the word.
    fn attempt(&self, database: &'static Database, first: bool, last: bool) -> Option<Answered> {
        if last || database.flux.load(Acquire) > 0 {
            return self.row_in_flux(self.read(), last);
        }
        let ticket = match self
            .shared
            .registry
            .check(&self.key, self.params, self.request, &self.clock)
        {
            Checked::Answer {
                judgement,
                session,
                newly_marked,
                newly_dirty,
            } => {
                self.is_hit.set(first);
                self.follow_up(database, newly_marked, newly_dirty);
                return Some(Answered::Session(judgement.into(), session));
            }
            Checked::InFlux => return self.row_in_flux(self.read(), last),
            Checked::Miss(ticket) => ticket,
        };
        match self.read() {
            Some(row) => {
                let limits = database.unrecorded.limits();
                if !limits.is_none() {
                    let known = Known::of(self.objects, &self.key.digest, &row);
                    if let Some(expiry) = known.mark {
                        return Some(Answered::Session(expiry.into(), known.session));
                    }
                }
                let holds = || database.unrecorded.limits() == limits;
                match self.shared.registry.load_if(&self.key, ticket, &row, holds) {
                    Loaded::Ready => {
                        self.counters().loads.add_one();
                        None
                    }
                    Loaded::Stale => None,
                    Loaded::InFlux => self.row_in_flux(Some(row), last),
                    Loaded::Full => self.row_when_full(database, &row),
                }
            }
            None => match self.shared.registry.missing(&self.key, ticket) {
                Missing::Closed => Some(Answered::NoSession(Status::Closed)),
                Missing::Unknown => Some(Answered::NoSession(Status::Unknown)),
                Missing::Stale => None,
            },
        }
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

    /// The caller's transaction has changed the session, or what it is judged by: its own row answers it, and the touch
    /// follows at its end.
    fn own(&self, change: Change) -> Answered {
        for attempt in 1.. {
            let limits = self.unrecorded();
            let Some((row, is_own)) = self.read_with_writer() else {
                let status = if change == Change::Closed {
                    Status::Closed
                } else {
                    Status::Unknown
                };
                return Answered::NoSession(status);
            };
            let (answered, found) = self.judge_row(&row);
            let last = attempt >= TRIES;
            match found {
                // Others see the same row: the touch counts whatever becomes of this transaction.
                Found::Touch if !is_own && !transaction::has_changed_parameters() => {
                    match self.touch_by_row(&row, &limits) {
                        Touched::Yes => {}
                        Touched::Over if !last => continue,
                        Touched::Over | Touched::NoEntry => self.counters().lost_touches.add_one(),
                    }
                }
                Found::Touch => transaction::touch_later(&self.key, &row, self.now()),
                Found::Expiry(expiry) => {
                    let judged = answered.row_of(&row);
                    match record_expiry(self.shared, &self.key, &judged, is_own, self.params, expiry, last) {
                        Recorded::Yes => {}
                        Recorded::StillValid | Recorded::Over if !last => continue,
                        Recorded::StillValid | Recorded::Over => {}
                    }
                }
                Found::Nothing => {}
            }
            return answered;
        }
        unreachable!("the last attempt answers")
    }

    /// Another transaction is committing a change of the session: the row answers, and an entry of the same opening
    /// takes the touch. `None` where that opening has been over by then.
    fn row_in_flux(&self, row: Option<Row>, last: bool) -> Option<Answered> {
        let Some(row) = row else {
            self.counters().in_flux.add_one();
            return Some(Answered::NoSession(Status::Unknown));
        };
        let limits = self.unrecorded();
        let (answered, found) = self.judge_row(&row);
        match found {
            Found::Touch => match self.touch_by_row(&row, &limits) {
                Touched::Yes => {}
                Touched::Over if !last => return None,
                Touched::Over | Touched::NoEntry => self.counters().lost_touches.add_one(),
            },
            Found::Expiry(expiry) if !self.record(&row, expiry, last) && !last => return None,
            _ => {}
        }
        self.counters().in_flux.add_one();
        Some(answered)
    }

    /// The row has answered that the session is valid: an entry of this opening takes the touch, made for it if there is none.
    /// `limits` are as they were before the row was judged.
    fn touch_by_row(&self, row: &Row, limits: &UnrecordedLimits) -> Touched {
        let registry = &self.shared.registry;
        let touched = match registry.touch(&self.key, row.version, self.now()) {
            Touched::NoEntry => {
                let holds = || self.unrecorded() == *limits;
                registry.touch_by_row(&self.key, row, self.now(), holds)
            }
            touched => touched,
        };
        if touched == Touched::Yes
            && let Some(database) = database::mine(self.shared)
        {
            database.set_dirty();
        }
        touched
    }

    /// The limits of this database's unrecorded expiries.
    fn unrecorded(&self) -> UnrecordedLimits {
        database::mine(self.shared).map_or_else(UnrecordedLimits::default, |database| database.unrecorded.limits())
    }

    /// The row has answered that the session is expired: that is final. False where the row was not the newest, or the
    /// session has been used meanwhile.
    fn record(&self, row: &Row, expiry: Expiry, insist: bool) -> bool {
        let recorded = record_expiry(self.shared, &self.key, row, false, self.params, expiry, insist);
        matches!(recorded, Recorded::Yes)
    }

    /// No entry can be had: the row answers, and the touch is lost.
    fn row_when_full(&self, database: &Database, row: &Row) -> Option<Answered> {
        let (answered, found) = self.judge_row(row);
        match found {
            Found::Touch => self.counters().lost_touches.add_one(),
            Found::Expiry(expiry) if !self.record(row, expiry, false) => return None,
            _ => {}
        }
        self.counters().full.add_one();
        // Until a pass has made room.
        if database.make_room_soon() {
            self.shared.control.wake_launcher();
            self.say_full(database);
        }
        Some(answered)
    }

    /// Says in the log that the registry is full: once, and once an hour as long as it goes on.
    fn say_full(&self, database: &Database) {
        const AN_HOUR: i64 = 3_600_000_000;
        let now = self.now().micros();
        let said = database.full_said.load(Acquire);
        if (0..AN_HOUR).contains(&now.saturating_sub(said))
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

    /// Nothing can be recorded: more databases than there is room for, or a parallel worker. The row answers.
    fn row_alone(&self) -> Answered {
        let Some(row) = self.read() else {
            return Answered::NoSession(Status::Unknown);
        };
        let (answered, found) = self.judge_row(&row);
        if let Found::Touch = found {
            self.counters().lost_touches.add_one();
        }
        answered
    }

    /// On a standby: the replicated row, with the activity that this standby itself has seen. Nothing is marked.
    fn standby(&self) -> Answered {
        // Forgets what was seen in another database of this OID.
        let has_place = database::mine(self.shared).is_some();
        let Some(row) = self.read() else {
            return Answered::NoSession(Status::Unknown);
        };
        let (answered, found) = self.judge_row(&row);
        if let Found::Touch = found
            && !(has_place && self.shared.registry.remember(&self.key, &row, self.now()))
        {
            self.counters().lost_touches.add_one();
        }
        answered
    }

    /// Judges a row, with what else is known of that opening: the answer, and what is to be recorded of it.
    fn judge_row(&self, row: &Row) -> (Answered, Found) {
        let known = Known::of(self.objects, &self.key.digest, row);
        if let Some(expiry) = known.mark {
            return (Answered::Session(expiry.into(), known.session), Found::Nothing);
        }
        let judgement = judge(&known.session, self.params, self.request, self.now());
        let mut session = known.session;
        let found = match judgement {
            Judgement::Valid { touch: true, .. } => {
                session.last_activity = session.last_activity.max(self.now());
                Found::Touch
            }
            Judgement::Expired(expiry) if self.request != Request::Look => Found::Expiry(expiry),
            _ => Found::Nothing,
        };
        (Answered::Session(judgement.into(), session), found)
    }

    fn read(&self) -> Option<Row> {
        self.read_with_writer().map(|(row, _)| row)
    }

    /// The row, and whether the caller's transaction wrote it.
    fn read_with_writer(&self) -> Option<(Row, bool)> {
        let read = check::read(self.objects, &self.key.digest, |version| {
            (version.row(), version.is_own())
        });
        // That may have waited for the table.
        (&self.clock).now_after_wait();
        read
    }

    fn now(&self) -> Timestamp {
        (&self.clock).now()
    }

    fn counters(&self) -> &'static Counters {
        self.shared.count()
    }

    fn count(&self, answered: &Answered) {
        if self.request == Request::Look {
            return;
        }
        // One count a check, where it is a hit: the others follow from these.
        let counters = self.counters();
        if !self.is_hit.get() {
            counters.misses.add_one();
        }
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
