//! The model itself, without a server: it notices a wrong answer, and takes every one that is allowed.

use super::commit::CommitEnd;
use super::errors::commit_may_fail;
use super::events::agree;
use super::op::{Activity, Answer, Op, Request, Rows, Setting, Verdict};
use super::state::Model;
use super::time::{Limit, Micros, SECOND, Span};
use super::transaction::{Isolation, Transaction};

const SID: usize = 7;
const OTHER: usize = 8;
const MINUTE: Micros = 60 * SECOND;

/// A database whose statements take a millisecond each, one after the other.
struct Script {
    model: Model,
    now: Micros,
}

impl Script {
    /// With a delay of a minute.
    fn new() -> Self {
        Self {
            model: Model::new("script", Some(MINUTE)),
            now: SECOND,
        }
    }

    fn wait(&mut self, time: Micros) {
        self.now += time;
    }

    fn begin(&self) -> Transaction {
        Transaction::new(1, Isolation::ReadCommitted, self.now)
    }

    /// A statement: whether the model allows its answer.
    fn run(&mut self, transaction: &mut Transaction, op: &Op, answer: Answer) -> bool {
        let number = self.model.begin(transaction, op, self.now);
        let span = Span::new(self.now, self.now + 1000);
        self.now += 1000;
        self.model.end(op, number, span.to);
        self.model.answered(transaction, op, span, &answer).is_ok()
    }

    fn commit(&mut self, mut transaction: Transaction) {
        let from = self.now;
        self.now += 1000;
        self.model.commit_sent(&mut transaction, from);
        let span = Span::new(from, self.now);
        self.model.commit_ended(&mut transaction, span, CommitEnd::Committed);
    }

    fn roll_back(&mut self, mut transaction: Transaction) {
        self.now += 1000;
        self.model.rolled_back(&mut transaction, self.now, false);
    }

    /// A statement that is committed at once.
    fn once(&mut self, op: &Op, answer: Answer) -> bool {
        let mut transaction = self.begin();
        let allowed = self.run(&mut transaction, op, answer);
        self.commit(transaction);
        allowed
    }

    fn open(&mut self, sid: usize, idle: Limit) {
        assert!(self.once(&open(sid, idle), Answer::Nothing));
    }

    fn set_delay(&mut self, delay: Limit) {
        let setting = Setting::Delay(delay);
        let by_hand = false;
        assert!(self.once(&Op::Set { setting, by_hand }, Answer::Nothing));
    }

    /// Sets the activity back by hand, and commits that.
    fn has_been_idle(&mut self, sid: usize, time: Micros) {
        let row = Some((self.now, self.now - time));
        assert!(self.once(&Op::SetActivity(sid, Activity::Ago(time)), Answer::Row(row)));
    }

    /// Whether this answer of a check is allowed.
    fn check(&mut self, sid: usize, valid: bool) -> bool {
        self.once(&Op::Check(sid, Request::Counts), Answer::Bool(valid))
    }

    /// Whether only this answer of a check is allowed.
    fn must_be(&mut self, sid: usize, valid: bool) -> bool {
        !self.clone_and(|script| script.check(sid, !valid)) && self.check(sid, valid)
    }

    /// What would be if this were done.
    fn clone_and<T>(&mut self, with: impl FnOnce(&mut Self) -> T) -> T {
        let sids = self.model.sids.clone();
        let clocks = self.model.clocks.clone();
        let now = self.now;
        let result = with(self);
        self.model.sids = sids;
        self.model.clocks = clocks;
        self.now = now;
        result
    }
}

fn open(sid: usize, idle: Limit) -> Op {
    Op::Open {
        sid,
        user: Some(1),
        idle,
        absolute: None,
    }
}

#[test]
fn an_open_session_validates_and_a_closed_one_does_not() {
    let mut script = Script::new();
    assert!(script.must_be(SID, false));
    script.open(SID, None);
    assert!(script.must_be(SID, true));
    assert!(!script.clone_and(|script| script.once(&Op::Close(SID), Answer::Bool(false))));
    assert!(script.once(&Op::Close(SID), Answer::Bool(true)));
    assert!(script.must_be(SID, false));
    assert!(!script.once(&Op::Close(SID), Answer::Bool(true)));
}

#[test]
fn a_check_beside_a_commit_may_see_it_or_not_and_one_after_it_must() {
    let mut script = Script::new();
    script.open(SID, None);
    let mut closing = script.begin();
    assert!(script.run(&mut closing, &Op::Close(SID), Answer::Bool(true)));
    assert!(script.must_be(SID, true));
    let from = script.now;
    script.model.commit_sent(&mut closing, from);
    assert!(script.clone_and(|script| script.check(SID, true)));
    assert!(script.clone_and(|script| script.check(SID, false)));
    let span = Span::new(from, script.now);
    script.model.commit_ended(&mut closing, span, CommitEnd::Committed);
    script.wait(1);
    assert!(script.must_be(SID, false));
}

#[test]
fn what_a_transaction_changes_is_its_own_until_it_commits() {
    let mut script = Script::new();
    let mut transaction = script.begin();
    assert!(script.run(&mut transaction, &open(SID, None), Answer::Nothing));
    let check = Op::Check(SID, Request::Counts);
    assert!(!script.run(&mut transaction, &check, Answer::Bool(false)));
    assert!(script.run(&mut transaction, &check, Answer::Bool(true)));
    assert!(script.must_be(SID, false));
    script.roll_back(transaction);
    assert!(script.must_be(SID, false));
}

#[test]
fn a_rollback_to_a_savepoint_takes_back_what_follows_it() {
    let mut script = Script::new();
    let mut transaction = script.begin();
    assert!(script.run(&mut transaction, &open(SID, None), Answer::Nothing));
    transaction.savepoint();
    assert!(script.run(&mut transaction, &Op::Close(SID), Answer::Bool(true)));
    assert!(script.run(&mut transaction, &open(OTHER, None), Answer::Nothing));
    transaction.rollback_to();
    script.commit(transaction);
    assert!(script.must_be(SID, true));
    assert!(script.must_be(OTHER, false));
}

#[test]
fn a_session_expires_by_its_last_request_and_not_before() {
    let mut script = Script::new();
    script.open(SID, None);
    script.wait(MINUTE - SECOND);
    assert!(script.must_be(SID, true));
    script.wait(MINUTE - SECOND);
    assert!(script.must_be(SID, true));
    script.wait(MINUTE);
    assert!(script.must_be(SID, false));
}

#[test]
fn an_own_limit_shortens_the_parameters() {
    let mut script = Script::new();
    script.open(SID, Some(SECOND));
    script.open(OTHER, Some(3600 * SECOND));
    script.wait(2 * SECOND);
    assert!(script.must_be(SID, false));
    script.wait(MINUTE);
    assert!(script.must_be(OTHER, false));
}

#[test]
fn an_ignored_url_skips_the_idle_limit_and_does_not_count() {
    let mut script = Script::new();
    script.open(SID, None);
    script.wait(MINUTE + SECOND);
    // By then the worker may have ended it.
    let ignored = Op::Check(SID, Request::Ignored);
    assert!(script.clone_and(|script| script.once(&ignored, Answer::Bool(false))));
    assert!(script.once(&ignored, Answer::Bool(true)));
    assert!(script.must_be(SID, false));
}

#[test]
fn found_expired_is_final_though_the_limit_is_raised() {
    let mut script = Script::new();
    script.open(SID, None);
    script.wait(2 * MINUTE);
    assert!(script.check(SID, false));
    script.set_delay(Some(60 * MINUTE));
    assert!(script.must_be(SID, false));
    script.open(SID, None);
    assert!(script.must_be(SID, true));
}

#[test]
fn an_expiry_found_in_a_transaction_that_rolls_back_is_final() {
    let finders = [
        (Op::Rotate { old: SID, new: OTHER }, Answer::Bool(false)),
        (
            Op::Purge { look: true },
            Answer::Purged {
                count: 1,
                gone: Some(vec![SID]),
            },
        ),
        (open(SID, None), Answer::Nothing),
    ];
    for (finder, answer) in finders {
        let mut script = Script::new();
        script.open(SID, None);
        script.has_been_idle(SID, 2 * MINUTE);
        let mut transaction = script.begin();
        assert!(script.run(&mut transaction, &finder, answer));
        script.roll_back(transaction);
        script.set_delay(None);
        assert!(script.must_be(SID, false), "{finder:?}");
    }
}

#[test]
fn the_worker_may_have_begun_before_a_limit_was_raised() {
    let purged = |script: &mut Script| {
        assert!(script.once(&Op::Check(SID, Request::Ignored), Answer::Bool(true)));
        let gone = Some(vec![SID]);
        script.once(&Op::Purge { look: true }, Answer::Purged { count: 0, gone })
    };
    let mut script = Script::new();
    script.open(SID, None);
    script.has_been_idle(SID, 2 * MINUTE);
    script.set_delay(None);
    assert!(script.clone_and(purged));
    // Not for long.
    script.wait(SECOND);
    assert!(!script.clone_and(purged));
}

#[test]
fn a_serializable_transaction_that_has_looked_at_rows_may_be_refused() {
    let mut script = Script::new();
    for (look, may_fail) in [(false, false), (true, true)] {
        let mut transaction = Transaction::new(0, Isolation::Serializable, script.now);
        script.model.begin(&mut transaction, &Op::Purge { look }, script.now);
        assert_eq!(commit_may_fail(&transaction, "40001", false), may_fail);
    }
}

#[test]
fn a_truncate_ends_the_login_that_came_after_a_revocation_of_the_transaction() {
    let mut script = Script::new();
    script.open(SID, None);
    script.has_been_idle(SID, 2 * MINUTE);
    let mut transaction = script.begin();
    let revoke = Op::CloseUser { user: 1, except: None };
    assert!(script.run(&mut transaction, &revoke, Answer::Count(0)));
    script.open(SID, None);
    assert!(script.run(&mut transaction, &Op::Truncate, Answer::Nothing));
    script.commit(transaction);
    assert!(script.must_be(SID, false));
}

#[test]
fn a_raised_limit_keeps_what_nobody_has_found() {
    let mut script = Script::new();
    script.open(SID, None);
    script.has_been_idle(SID, 2 * MINUTE);
    script.set_delay(None);
    // The worker may have come in between.
    assert!(script.clone_and(|script| script.check(SID, false)));
    assert!(script.check(SID, true));
}

#[test]
fn a_rotation_keeps_the_clocks_and_ends_the_old_sid() {
    let mut script = Script::new();
    script.open(SID, None);
    script.wait(MINUTE / 2);
    let rotate = Op::Rotate { old: SID, new: OTHER };
    assert!(!script.clone_and(|script| script.once(&rotate, Answer::Bool(false))));
    assert!(script.once(&rotate, Answer::Bool(true)));
    assert!(script.must_be(SID, false));
    script.wait(MINUTE / 2 + SECOND);
    assert!(script.must_be(OTHER, false));
}

#[test]
fn a_crash_may_lose_activity_and_never_adds_any() {
    let mut script = Script::new();
    script.open(SID, None);
    script.wait(MINUTE / 2);
    assert!(script.check(SID, true));
    script.model.crashed(script.now);
    script.wait(MINUTE * 3 / 4);
    assert!(script.clone_and(|script| script.check(SID, true)));
    assert!(script.clone_and(|script| script.check(SID, false)));
    script.wait(MINUTE / 2);
    assert!(script.must_be(SID, false));
}

#[test]
fn sessions_deleted_before_an_extension_that_was_rolled_back_are_closed() {
    let mut script = Script::new();
    script.open(SID, None);
    let mut transaction = script.begin();
    let deleted = Answer::Deleted(vec![SID]);
    assert!(script.run(&mut transaction, &Op::Delete(Rows::All), deleted));
    transaction.savepoint();
    assert!(script.run(&mut transaction, &Op::DropExtension, Answer::Nothing));
    assert!(script.run(&mut transaction, &Op::CreateExtension, Answer::Nothing));
    assert!(script.run(&mut transaction, &open(OTHER, None), Answer::Nothing));
    transaction.rollback_to();
    script.commit(transaction);
    assert!(script.must_be(SID, false));
    assert!(script.must_be(OTHER, false));
}

#[test]
fn old_transactions_judge_by_the_parameters_of_the_new_extension() {
    let mut script = Script::new();
    script.open(SID, None);
    let mut old = script.begin();
    assert!(script.run(&mut old, &Op::Check(SID, Request::Counts), Answer::Bool(true)));
    let mut new = script.begin();
    assert!(script.run(&mut new, &Op::DropExtension, Answer::Nothing));
    assert!(script.run(&mut new, &Op::CreateExtension, Answer::Nothing));
    let setting = Setting::Delay(Some(SECOND));
    let by_hand = false;
    assert!(script.run(&mut new, &Op::Set { setting, by_hand }, Answer::Nothing));
    assert!(script.run(&mut new, &open(OTHER, None), Answer::Nothing));
    script.commit(new);
    script.wait(2 * SECOND);
    assert!(!script.run(&mut old, &Op::Check(SID, Request::Counts), Answer::Bool(true)));
    assert!(!script.run(&mut old, &Op::Check(OTHER, Request::Counts), Answer::Bool(true)));
    assert!(script.run(&mut old, &Op::Check(OTHER, Request::Counts), Answer::Bool(false)));
}

#[test]
fn each_login_that_was_replaced_or_purged_past_its_limit_has_an_event() {
    let mut script = Script::new();
    for purged in [false, true] {
        let mut transaction = script.begin();
        assert!(script.run(&mut transaction, &open(SID, None), Answer::Nothing));
        let row = Some((script.now - 1, script.now - 2 * MINUTE));
        let back = Op::SetActivity(SID, Activity::Ago(2 * MINUTE));
        assert!(script.run(&mut transaction, &back, Answer::Row(row)));
        script.commit(transaction);
        if purged {
            let gone = Some(vec![SID]);
            assert!(script.once(&Op::Purge { look: true }, Answer::Purged { count: 1, gone }));
        }
    }
    script.open(SID, None);
    let ended = &script.model.sids[SID].ended;
    assert!(
        agree(ended, &["idle_expired".to_owned(), "idle_expired".to_owned()]),
        "{ended:?}"
    );
    assert!(!agree(ended, &["idle_expired".to_owned()]), "{ended:?}");
}

#[test]
fn a_revocation_counts_what_is_certainly_open_and_ends_it() {
    let mut script = Script::new();
    script.open(SID, None);
    script.open(OTHER, None);
    let revoke = Op::CloseUser {
        user: 1,
        except: Some(OTHER),
    };
    assert!(!script.clone_and(|script| script.once(&revoke, Answer::Count(0))));
    assert!(!script.clone_and(|script| script.once(&revoke, Answer::Count(2))));
    assert!(script.once(&revoke, Answer::Count(1)));
    assert!(script.must_be(SID, false));
    assert!(script.must_be(OTHER, true));
}

#[test]
fn a_revocation_may_miss_a_session_that_is_being_rotated_away_from_the_sid_it_excepts() {
    let mut script = Script::new();
    script.open(SID, None);
    let mut rotating = script.begin();
    let rotate = Op::Rotate { old: SID, new: OTHER };
    assert!(script.run(&mut rotating, &rotate, Answer::Bool(true)));
    let sent = script.now;
    script.model.commit_sent(&mut rotating, sent);
    let revoke = |except| Op::CloseUser { user: 1, except };
    let mut revoking = script.begin();
    // By a snapshot from before that commit, which sees the old row only.
    assert!(script.run(&mut revoking, &revoke(Some(SID)), Answer::Count(0)));
    let span = Span::new(sent, script.now);
    script.model.commit_ended(&mut rotating, span, CommitEnd::Committed);
    assert!(script.run(&mut revoking, &revoke(None), Answer::Count(1)));
    script.commit(revoking);
    assert!(script.must_be(SID, false));
}

#[test]
fn a_verdict_with_a_wrong_field_is_noticed() {
    let mut script = Script::new();
    let opened_at = script.now;
    script.open(SID, None);
    let peek = Op::Peek(SID);
    let right = Verdict {
        valid: true,
        status: "active".to_owned(),
        user: Some("user-1".to_owned()),
        opened_at: Some(opened_at),
        last_activity: Some(opened_at),
        expires_at: Some(opened_at + MINUTE),
        warn: true,
    };
    let wrong = [
        Verdict {
            user: None,
            ..right.clone()
        },
        Verdict {
            status: "ignored".to_owned(),
            ..right.clone()
        },
        Verdict {
            opened_at: Some(opened_at - 1),
            ..right.clone()
        },
        Verdict {
            last_activity: Some(opened_at - 1),
            ..right.clone()
        },
        Verdict {
            expires_at: Some(opened_at + 2 * MINUTE),
            ..right.clone()
        },
        Verdict {
            warn: false,
            ..right.clone()
        },
    ];
    for wrong in wrong {
        assert!(
            !script.clone_and(|script| script.once(&peek, Answer::Verdict(wrong.clone()))),
            "{wrong:?}"
        );
    }
    assert!(script.once(&peek, Answer::Verdict(right)));
}

#[test]
fn a_commit_whose_connection_was_lost_leaves_both_answers() {
    let mut script = Script::new();
    let mut transaction = script.begin();
    assert!(script.run(&mut transaction, &open(SID, None), Answer::Nothing));
    script.model.commit_sent(&mut transaction, script.now);
    let span = Span::new(script.now, script.now + 1000);
    script.model.commit_ended(&mut transaction, span, CommitEnd::Lost);
    script.wait(SECOND);
    assert!(script.clone_and(|script| script.check(SID, true)));
    assert!(script.clone_and(|script| script.check(SID, false)));
}

#[test]
fn our_functions_do_not_fail_to_serialize_and_checks_do_not_deadlock() {
    let model = Model::new("script", None);
    let span = Span::new(1, 2);
    let mut transaction = Transaction::new(1, Isolation::RepeatableRead, 1);
    transaction.holds_locks = true;
    let may_fail = |op: &Op, sqlstate: &str| model.may_fail(&transaction, op, span, sqlstate, "");
    assert!(!may_fail(&open(SID, None), "40001"));
    assert!(may_fail(&Op::Delete(Rows::All), "40001"));
    assert!(may_fail(&open(SID, None), "40P01"));
    assert!(!may_fail(&Op::Check(SID, Request::Counts), "40P01"));
    assert!(!may_fail(&Op::Check(SID, Request::Counts), "XX000"));
}
