//! Every interleaving of a few actors over one session: who is told what, and when.
//!
//! An actor is a list of steps; between any two of them any other actor may step. A step is what the registry does under
//! one lock, or one look at the row, or one commit. The explorer runs every order of steps there is, and checks after
//! each what the contract promises.

use std::cell::Cell;

use super::tests::{Owned, at, key, params, row};
use super::*;
use crate::params::Params;
use crate::time::Timestamp;
use crate::verdict::{Judgement, Request, judge};

/// No locks, for one thread; and what database 1 knows of expiries that no entry records.
#[derive(Clone, Copy)]
struct Surroundings<'m> {
    unrecorded: &'m Unrecorded,
    /// The latest time that anybody has seen on the clock.
    clock: &'m Cell<Timestamp>,
}

impl Locks for Surroundings<'_> {
    fn shared<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn exclusive<R>(&self, _: usize, work: impl FnOnce() -> R) -> R {
        work()
    }
    fn displaced(&self, displaced: Displaced) {
        if let (1, Lost::Expiry(session, expiry)) = (displaced.database, displaced.lost) {
            self.unrecorded.add(&session, expiry, self.clock.get());
        }
    }
}

/// What all actors share: the committed row, and what has been told to whom.
struct World<'m> {
    registry: Registry<'m, Surroundings<'m>>,
    around: Surroundings<'m>,
    /// The committed row of the session, by the digest of key 1.
    row: Option<Row>,
    /// The committed row of the session that it was rotated to, by the digest of key 2.
    rotated: Option<Row>,
    params: Params,
    now: Timestamp,
    /// A close has returned to its caller, and nobody opened the session since.
    closed: bool,
    /// A check has said that it is expired, and nobody opened it since.
    expired: bool,
    /// The newest activity for which a check said true.
    reported_active: Option<Timestamp>,
    /// An opening has been committed.
    opened: bool,
    /// An opening has returned.
    reopened: bool,
    /// Entries may have to make room for another database.
    is_crowded: bool,
}

impl World<'_> {
    fn row_of(&self, n: u32) -> Option<Row> {
        if n == 1 { self.row } else { self.rotated }
    }
}

/// Does its next step; whether it has more.
trait Actor {
    fn step(&mut self, world: &mut World) -> bool;
}

/// Checks the session once, under the digest of one key.
struct Checker {
    of: u32,
    at: Timestamp,
    request: Request,
    state: Check,
    closed_before: bool,
    expired_before: bool,
    reopened_before: bool,
    started: bool,
    lost: bool,
    tries: u8,
}

enum Check {
    Look,
    Read(Ticket),
    /// The row has been read: it is held against what no entry records.
    Judge(Ticket, Option<Row>),
    Load(Ticket, Option<Row>, UnrecordedLimits),
    /// There was no room.
    JudgeFull(Row),
    ExpireFull(Row),
    ReadInvalidating,
    /// The row has been read: it is judged, and what it was found to be is recorded.
    JudgeInvalidating(Option<Row>),
}

impl Checker {
    fn checking(seconds: i64) -> Box<dyn Actor> {
        Self::asking(1, seconds, Request::Counting)
    }

    fn asking(of: u32, seconds: i64, request: Request) -> Box<dyn Actor> {
        Box::new(Self {
            of,
            at: at(seconds),
            request,
            state: Check::Look,
            closed_before: false,
            expired_before: false,
            reopened_before: false,
            started: false,
            lost: false,
            tries: 0,
        })
    }

    /// Whether a row is valid, with what the registry knows of the same opening; `None` where it was found expired.
    fn judge_row(&self, row: &Row, world: &World) -> Option<bool> {
        let known = world.registry.held(&key(self.of), row.version);
        if known.is_some_and(|known| known.expiry.is_some()) {
            return None;
        }
        let activity = known.map_or(row.session.last_activity, |known| known.activity);
        if !known.is_some_and(|known| known.answers) {
            let limits = world.around.unrecorded.limits();
            let session = Session {
                last_activity: activity.max(row.session.last_activity),
                ..row.session
            };
            if limits.expiry(&session, world.around.clock.get()).is_some() {
                return None;
            }
        }
        let session = Session {
            last_activity: activity.max(row.session.last_activity),
            ..row.session
        };
        let judgement = judge(&session, &world.params, Request::Look, self.at);
        Some(matches!(judgement, Judgement::Valid { .. }))
    }

    /// Whether what a row was found to be is recorded, or lost, as a touch is that has no entry; where not, the check
    /// begins anew.
    fn record(&mut self, row: &Row, valid: bool, world: &mut World) -> bool {
        if valid {
            let touched = match world.registry.touch(&key(self.of), row.version, self.at) {
                Touched::NoEntry => {
                    // Judged in the same step.
                    world.registry.touch_by_row(&key(self.of), row, self.at, || true)
                }
                touched => touched,
            };
            self.lost = touched != Touched::Yes;
            return touched != Touched::Over;
        }
        self.set_expired(row, world) != SetExpired::Over
    }

    fn set_expired(&self, row: &Row, world: &mut World) -> SetExpired {
        let insist = self.tries == 4;
        let set = world
            .registry
            .set_expired(&key(self.of), row, &world.params, self.at, insist);
        world.expired |= matches!(set, SetExpired::Yes(_));
        set
    }

    fn answer(&self, valid: bool, world: &mut World) -> bool {
        if self.request == Request::Look {
            return false;
        }
        if valid {
            assert!(!self.closed_before || world.reopened, "true after a close had returned");
            assert!(!self.expired_before || world.opened, "true after it was found expired");
            if !self.lost {
                world.reported_active = world.reported_active.max(Some(self.at));
            }
        } else {
            assert!(
                !self.reopened_before || world.closed,
                "false after an opening had returned"
            );
        }
        false
    }
}

impl Actor for Checker {
    fn step(&mut self, world: &mut World) -> bool {
        if !self.started {
            self.started = true;
            // The old digest of a rotated session is closed; the new one goes on.
            self.closed_before = world.closed && self.of == 1;
            self.expired_before = world.expired;
            self.reopened_before = world.reopened;
            world.around.clock.set(world.around.clock.get().max(self.at));
        }
        let key = key(self.of);
        match self.state {
            Check::Look => match world.registry.check(&key, &world.params, self.request, self.at) {
                Checked::Answer {
                    judgement: Judgement::Valid { .. },
                    ..
                } => return self.answer(true, world),
                Checked::Answer {
                    judgement: Judgement::Expired(_),
                    ..
                } => {
                    world.expired |= self.request != Request::Look;
                    return self.answer(false, world);
                }
                Checked::Miss(ticket) => self.state = Check::Read(ticket),
                Checked::Invalidating => self.state = Check::ReadInvalidating,
            },
            Check::Read(ticket) => {
                self.state = Check::Judge(ticket, world.row_of(self.of));
                // One step less, if nobody makes room for another database.
                if !world.is_crowded {
                    return self.step(world);
                }
            }
            Check::Judge(ticket, row) => {
                let limits = world.around.unrecorded.limits();
                if let Some(row) = row
                    && !limits.is_none()
                    && self.judge_row(&row, world).is_none()
                {
                    return self.answer(false, world);
                }
                self.state = Check::Load(ticket, row, limits);
            }
            Check::Load(ticket, Some(row), limits) => {
                let holds = || world.around.unrecorded.limits() == limits;
                self.state = match world.registry.load_if(&key, ticket, &row, holds) {
                    Loaded::Invalidating => Check::JudgeInvalidating(Some(row)),
                    Loaded::Full => Check::JudgeFull(row),
                    _ => Check::Look,
                };
            }
            Check::JudgeFull(row) => match self.judge_row(&row, world) {
                Some(true) => {
                    self.lost = true;
                    return self.answer(true, world);
                }
                Some(false) => match self.set_expired(&row, world) {
                    SetExpired::Full => {
                        world.around.unrecorded.add(&row.session, Expiry::Idle, self.at);
                        self.state = Check::ExpireFull(row);
                    }
                    SetExpired::Over | SetExpired::No => self.state = Check::Look,
                    SetExpired::Yes(_) => return self.answer(false, world),
                },
                None => return self.answer(false, world),
            },
            Check::ExpireFull(row) => {
                if matches!(self.set_expired(&row, world), SetExpired::Over | SetExpired::No) {
                    self.state = Check::Look;
                } else {
                    world.expired = true;
                    return self.answer(false, world);
                }
            }
            Check::Load(ticket, None, _) => match world.registry.missing(&key, ticket) {
                Missing::Stale => self.state = Check::Look,
                Missing::Closed | Missing::Unknown => return self.answer(false, world),
            },
            Check::ReadInvalidating => self.state = Check::JudgeInvalidating(world.row_of(self.of)),
            Check::JudgeInvalidating(None) => return self.answer(false, world),
            Check::JudgeInvalidating(Some(row)) => match self.judge_row(&row, world) {
                None => return self.answer(false, world),
                Some(valid) => {
                    self.tries += 1;
                    if self.record(&row, valid, world) || self.tries == 4 {
                        return self.answer(valid, world);
                    }
                    self.state = Check::Look;
                }
            },
        }
        true
    }
}

/// A transaction that changes the row, and then commits or rolls back.
struct Changer {
    change: fn(&mut World),
    outcome: Outcome,
    step: u8,
    invalidation: Option<Invalidation>,
    returned: fn(&mut World),
}

impl Changer {
    fn closing() -> Box<dyn Actor> {
        Box::new(Self {
            change: |world| world.row = None,
            outcome: Outcome::Closed,
            step: 0,
            invalidation: None,
            returned: |world| {
                world.closed = true;
                world.reopened = false;
            },
        })
    }

    fn opening() -> Box<dyn Actor> {
        Box::new(Self {
            change: |world| {
                world.row = Some(row(2, at(100)));
                world.opened = true;
                world.expired = false;
            },
            outcome: Outcome::Committed,
            step: 0,
            invalidation: None,
            returned: |world| {
                world.reopened = true;
                world.closed = false;
            },
        })
    }

    fn rolling_back() -> Box<dyn Actor> {
        Box::new(Self {
            change: |_| {},
            outcome: Outcome::Committed,
            step: 0,
            invalidation: None,
            returned: |_| {},
        })
    }
}

impl Actor for Changer {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            1 => self.invalidation = Some(world.registry.begin_invalidation(&key(1))),
            2 => (self.change)(world),
            _ => {
                world
                    .registry
                    .end_invalidation(&key(1), self.invalidation, self.outcome, EntryUpdate::default());
                (self.returned)(world);
                return false;
            }
        }
        true
    }
}

/// A transaction that gave the session another version, under its own digest or another, and then commits. What others
/// did since goes along.
struct Mover {
    to: u32,
    step: u8,
    invalidations: Vec<Invalidation>,
    word: Option<Word>,
}

impl Mover {
    fn rotating() -> Box<dyn Actor> {
        Self::moving(2)
    }

    fn changing_limits() -> Box<dyn Actor> {
        Self::moving(1)
    }

    fn moving(to: u32) -> Box<dyn Actor> {
        Box::new(Self {
            to,
            step: 0,
            invalidations: Vec::new(),
            word: None,
        })
    }
}

impl Actor for Mover {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            1 => self.invalidations.push(world.registry.begin_invalidation(&key(1))),
            2 if self.to == 2 => self.invalidations.push(world.registry.begin_invalidation(&key(2))),
            2 => {}
            3 => {
                // With the activity that the row had when it was changed.
                let moved = world.row.map(|old| Row { version: 2, ..old });
                if self.to == 2 {
                    world.row = None;
                    world.rotated = moved;
                } else {
                    world.row = moved;
                }
            }
            4 => self.word = world.registry.retire(&key(1), 1),
            5 if self.to == 2 => {
                let update = EntryUpdate::default();
                world
                    .registry
                    .end_invalidation(&key(1), Some(self.invalidations[0]), Outcome::Closed, update);
            }
            5 => {}
            _ => {
                let update = EntryUpdate {
                    derived: self.word.map(|word| (2, word)),
                    ..EntryUpdate::default()
                };
                let invalidation = self.invalidations.last().copied();
                world
                    .registry
                    .end_invalidation(&key(self.to), invalidation, Outcome::Committed, update);
                world.closed = self.to == 2;
                return false;
            }
        }
        true
    }
}

/// Fills the registry with other sessions, so that entries are evicted.
struct Crowd(u32);

impl Actor for Crowd {
    fn step(&mut self, world: &mut World) -> bool {
        let other = key(100 + self.0);
        if let Checked::Miss(ticket) = world.registry.check(&other, &world.params, Request::Look, world.now) {
            world.registry.load(&other, ticket, &row(1, world.now));
        }
        self.0 -= 1;
        self.0 > 0
    }
}

/// A session of another database needs room.
struct Intruder;

impl Actor for Intruder {
    fn step(&mut self, world: &mut World) -> bool {
        let other = Key {
            database: 7,
            ..key(200)
        };
        if let Checked::Miss(ticket) = world.registry.check(&other, &world.params, Request::Look, world.now) {
            assert_eq!(world.registry.load(&other, ticket, &row(1, world.now)), Loaded::Ready);
        }
        world
            .registry
            .check(&other, &world.params, Request::Counting, world.now);
        false
    }
}

/// An administrator allows more, and what was dirty is written down, so that there is room.
struct Raiser;

impl Actor for Raiser {
    fn step(&mut self, world: &mut World) -> bool {
        world.params = params(1000);
        let _ = world.registry.flushed(&key(300), 1, world.now);
        false
    }
}

/// Sessions of the same database that are in use, as many as there are slots for with that of key 1.
fn fill_with_dirty(world: &World, sessions: u32) {
    for n in 300..300 + sessions {
        let Checked::Miss(ticket) = world.registry.check(&key(n), &world.params, Request::Look, at(0)) else {
            panic!("it is not there yet");
        };
        assert_eq!(world.registry.load(&key(n), ticket, &row(1, at(0))), Loaded::Ready);
        world.registry.check(&key(n), &params(0), Request::Counting, world.now);
    }
}

/// The worker writes activity down: scan, write and commit, tell the registry.
struct Flusher {
    step: u8,
    found: Vec<EntryView>,
    then: Option<Crowd>,
}

impl Flusher {
    fn flushing() -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            found: Vec::new(),
            then: None,
        })
    }

    /// What is flushed can be evicted.
    fn flushing_and_then(crowd: Crowd) -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            found: Vec::new(),
            then: Some(crowd),
        })
    }
}

impl Actor for Flusher {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match self.step {
            4.. => return self.then.as_mut().is_some_and(|crowd| crowd.step(world)),
            1 => {
                self.found = Vec::with_capacity(8);
                let mut cursor = world.registry.scan(0);
                world
                    .registry
                    .collect(&mut cursor, 1, 2, EntryFilter::Dirty, &mut self.found);
            }
            2 => {
                for view in self.found.iter().filter(|view| view.digest == key(1).digest) {
                    if let Some(row) = &mut world.row
                        && row.version == view.version
                    {
                        row.session.last_activity = row.session.last_activity.max(view.activity);
                    }
                }
            }
            _ => {
                for view in &self.found {
                    let key = Key {
                        digest: view.digest,
                        ..key(1)
                    };
                    let _ = world.registry.flushed(&key, view.version, view.activity);
                }
                return self.then.is_some();
            }
        }
        true
    }
}

/// The worker purges: read the row, mark it, delete and commit (if the version is the one meant), tell the registry.
struct Purger {
    step: u8,
    row: Option<Row>,
    deletes: bool,
}

impl Purger {
    fn purging() -> Box<dyn Actor> {
        Box::new(Self {
            step: 0,
            row: None,
            deletes: false,
        })
    }
}

impl Actor for Purger {
    fn step(&mut self, world: &mut World) -> bool {
        self.step += 1;
        match (self.step, self.row) {
            (1, _) => self.row = world.row,
            (2, Some(row)) => {
                let set = world
                    .registry
                    .set_expired(&key(1), &row, &world.params, world.now, false);
                self.deletes = matches!(set, SetExpired::Yes(_));
                if self.deletes && world.row.is_some_and(|now| now.version == row.version) {
                    world.expired = true;
                }
            }
            (3, Some(row)) if self.deletes && world.row.is_some_and(|now| now.version == row.version) => {
                world.row = None;
            }
            (4, Some(row)) if self.deletes => {
                world.registry.ended(&key(1), row.version);
                return false;
            }
            (3, Some(_)) => {}
            _ => return false,
        }
        true
    }
}

/// Runs every interleaving of the actors. `start` is the row at the beginning, loaded or not.
fn explore(
    name: &str,
    start: Option<Row>,
    loaded: bool,
    slots: usize,
    actors: impl Fn() -> Vec<Box<dyn Actor>>,
    finally: impl Fn(&World),
) {
    explore_all(name, start, loaded, slots, false, |_| {}, actors, finally);
}

/// Likewise, with other sessions in the registry, as `prepare` leaves it, some of which make room for another database.
fn explore_from(
    name: &str,
    start: Option<Row>,
    loaded: bool,
    slots: usize,
    prepare: impl Fn(&World),
    actors: impl Fn() -> Vec<Box<dyn Actor>>,
    finally: impl Fn(&World),
) {
    explore_all(name, start, loaded, slots, true, prepare, actors, finally);
}

#[expect(clippy::too_many_arguments, reason = "what the two above have in common")]
fn explore_all(
    name: &str,
    start: Option<Row>,
    loaded: bool,
    slots: usize,
    is_crowded: bool,
    prepare: impl Fn(&World),
    actors: impl Fn() -> Vec<Box<dyn Actor>>,
    finally: impl Fn(&World),
) {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    let mut runs = 0_u64;
    loop {
        let owned = Owned::new(Layout {
            partitions: 1,
            slots_per_partition: slots,
        });
        let (unrecorded, clock) = (Unrecorded::default(), Cell::new(at(0)));
        let around = Surroundings {
            unrecorded: &unrecorded,
            clock: &clock,
        };
        let mut world = World {
            registry: Registry::new(owned.memory(), around),
            around,
            row: start,
            rotated: None,
            params: params(60),
            now: at(100),
            closed: false,
            expired: false,
            reported_active: None,
            opened: false,
            reopened: false,
            is_crowded,
        };
        if let (true, Some(row)) = (loaded, start)
            && let Checked::Miss(ticket) = world.registry.check(&key(1), &world.params, Request::Look, at(0))
        {
            world.registry.load(&key(1), ticket, &row);
        }
        prepare(&world);
        let mut waiting = actors();
        let mut depth = 0;
        while !waiting.is_empty() {
            if depth == choices.len() {
                choices.push((0, waiting.len()));
            }
            assert!(depth < 200, "{name}: an actor does not come to an end");
            let chosen = choices[depth].0;
            depth += 1;
            if !waiting[chosen].step(&mut world) {
                drop(waiting.remove(chosen));
            }
        }
        finally(&world);
        runs += 1;
        // The next order: the last choice that has an alternative.
        choices.truncate(depth);
        while let Some((chosen, of)) = choices.pop() {
            if chosen + 1 < of {
                choices.push((chosen + 1, of));
                break;
            }
        }
        if choices.is_empty() {
            break;
        }
        assert!(runs < 3_000_000, "{name}: too many interleavings");
    }
    assert!(runs > 10, "{name}: {runs} interleavings explore nothing");
}

fn fresh() -> Option<Row> {
    Some(row(1, at(100)))
}

#[test]
fn after_a_close_has_returned_no_check_says_true() {
    for loaded in [false, true] {
        explore(
            "close",
            fresh(),
            loaded,
            4,
            || vec![Changer::closing(), Checker::checking(100), Checker::checking(101)],
            |_| {},
        );
    }
}

#[test]
fn after_a_close_has_returned_no_check_says_true_even_as_entries_are_evicted() {
    explore(
        "close under eviction",
        fresh(),
        true,
        1,
        || vec![Changer::closing(), Checker::checking(100), Box::new(Crowd(2))],
        |_| {},
    );
}

#[test]
fn a_session_that_was_opened_again_lives_though_the_worker_ends_the_old_one() {
    let expired = Some(row(1, at(0)));
    for loaded in [false, true] {
        explore(
            "reopen during purge",
            expired,
            loaded,
            4,
            || vec![Changer::opening(), Purger::purging(), Checker::checking(101)],
            |world| assert_eq!(world.row.map(|row| row.version), Some(2)),
        );
    }
}

#[test]
fn what_was_found_expired_is_let_in_by_nobody() {
    let idle = Some(row(1, at(40)));
    for loaded in [false, true] {
        explore(
            "expire",
            idle,
            loaded,
            4,
            || vec![Checker::checking(100), Checker::checking(101), Purger::purging()],
            |_| {},
        );
    }
}

#[test]
fn a_rollback_loses_neither_a_mark_nor_a_touch() {
    explore(
        "rollback",
        Some(row(1, at(60))),
        true,
        4,
        || vec![Changer::rolling_back(), Checker::checking(100), Checker::checking(130)],
        |world| {
            let known = world.registry.look(&key(1), 1);
            if !world.expired
                && let (Some(reported), Some((activity, _))) = (world.reported_active, known)
            {
                assert!(activity >= reported || world.row.is_some_and(|row| row.session.last_activity >= reported));
            }
        },
    );
}

#[test]
fn a_flush_moves_no_activity_backwards_and_writes_to_no_other_opening() {
    explore(
        "flush",
        fresh(),
        true,
        2,
        || vec![Flusher::flushing(), Changer::opening(), Checker::checking(110)],
        |world| {
            let row = world.row.expect("opened again");
            assert_eq!(row.version, 2);
            assert!(row.session.last_activity == at(100) || row.session.last_activity == at(110));
        },
    );
}

/// What is known of the session that the other one became, after all.
fn activity_of(world: &World, n: u32) -> Timestamp {
    let row = world.row_of(n).expect("it was moved");
    let known = world.registry.look(&key(n), row.version);
    known.map_or(row.session.last_activity, |(activity, _)| {
        activity.max(row.session.last_activity)
    })
}

#[test]
fn what_checks_did_while_a_session_moved_goes_along() {
    type Move = fn() -> Box<dyn Actor>;
    for (to, mover) in [(1, Mover::changing_limits as Move), (2, Mover::rotating)] {
        for loaded in [false, true] {
            explore(
                "activity moves",
                Some(row(1, at(50))),
                loaded,
                4,
                || vec![mover(), Checker::checking(100)],
                |world| {
                    if let Some(reported) = world.reported_active {
                        assert!(activity_of(world, to) >= reported, "activity was left behind");
                    }
                },
            );
            explore(
                "expiry moves",
                Some(row(1, at(30))),
                loaded,
                4,
                || vec![mover(), Checker::checking(100)],
                |world| {
                    if world.expired {
                        let row = world.row_of(to).expect("it was moved");
                        let known = world.registry.look(&key(to), row.version);
                        assert!(
                            known.is_some_and(|(_, expiry)| expiry.is_some()),
                            "the expiry was left behind"
                        );
                    }
                },
            );
        }
    }
}

#[test]
fn a_row_that_was_read_before_a_flush_moves_no_activity_backwards() {
    explore(
        "flush, evict, load",
        Some(row(1, at(50))),
        false,
        1,
        || {
            vec![
                Checker::asking(1, 100, Request::Look),
                Checker::checking(100),
                Flusher::flushing_and_then(Crowd(1)),
            ]
        },
        |world| {
            let row = world.row.expect("it is open");
            let known = world.registry.look(&key(1), 1);
            assert!(known.is_none_or(|(activity, _)| activity >= row.session.last_activity));
        },
    );
}

#[test]
fn two_changes_at_once_leave_what_was_committed_last() {
    explore(
        "close and open",
        fresh(),
        true,
        4,
        || vec![Changer::closing(), Changer::rolling_back(), Checker::checking(101)],
        |_| {},
    );
}

/// What is known of key 1's session is what somebody has said of it, or its row.
fn assert_no_activity_from_nowhere(world: &World, start: Timestamp) {
    let Some(row) = world.row else { return };
    let newest = start.max(world.reported_active.unwrap_or(start));
    assert!(row.session.last_activity <= newest || row.version == 2);
    if let Some((activity, _)) = world.registry.look(&key(1), row.version) {
        assert!(activity <= newest || row.version == 2, "activity that nobody has view");
    }
}

#[test]
fn activity_that_makes_room_for_another_database_can_only_end_a_session_early() {
    let start = Some(row(1, at(50)));
    let touched = |world: &World| {
        world.registry.check(&key(1), &world.params, Request::Counting, at(55));
        fill_with_dirty(world, 7);
    };
    explore_from(
        "displace, flush, load",
        start,
        true,
        8,
        touched,
        || vec![Box::new(Intruder), Flusher::flushing(), Checker::checking(100)],
        |world| assert_no_activity_from_nowhere(world, at(55)),
    );
}

#[test]
fn after_a_close_has_returned_no_check_says_true_even_as_entries_are_displaced() {
    for changer in [Changer::closing, Changer::opening] {
        explore_from(
            "change under displacement",
            fresh(),
            true,
            8,
            |world| fill_with_dirty(world, 7),
            || vec![changer(), Checker::checking(100), Box::new(Intruder)],
            |world| assert_no_activity_from_nowhere(world, at(100)),
        );
    }
}

/// Whoever comes next is not told that it is valid, if somebody was told that it is expired.
fn assert_final(world: &World) {
    let next = world.registry.check(&key(1), &world.params, Request::Look, at(102));
    let is_valid = matches!(
        next,
        Checked::Answer {
            judgement: Judgement::Valid { .. },
            ..
        }
    );
    assert!(!world.expired || !is_valid, "an entry says that it is valid");
}

/// The entry that says that it is expired makes room for another database, and the delay is raised.
#[test]
fn what_was_found_expired_stays_so_though_its_entry_makes_room() {
    explore_from(
        "displace a expiry",
        Some(row(1, at(30))),
        true,
        8,
        |world| fill_with_dirty(world, 7),
        || {
            vec![
                Checker::checking(100),
                Checker::checking(101),
                Box::new(Intruder),
                Box::new(Raiser),
            ]
        },
        assert_final,
    );
}

/// There is no room to say that it is expired, until others are written down; and the delay is raised.
#[test]
fn what_was_found_expired_stays_so_though_there_was_no_room_to_say_so() {
    let full = |world: &World| {
        fill_with_dirty(world, 16);
        let set = world
            .registry
            .set_expired(&key(400), &row(1, at(0)), &params(60), at(100), false);
        assert_eq!(set, SetExpired::Yes(Expiry::Idle));
    };
    explore_from(
        "no room for a expiry",
        Some(row(1, at(30))),
        false,
        17,
        full,
        || vec![Checker::checking(100), Checker::checking(101), Box::new(Raiser)],
        assert_final,
    );
}
