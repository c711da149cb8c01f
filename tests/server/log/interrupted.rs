//! Functions that are interrupted while they wait: timeouts, cancellations, deadlocks.

use session_timeout_tests::postgres::Client;

use super::{Provocation, assert_logged, database};
use crate::support::{InFlight, SessionCalls, outcome};

/// A call that waits for a row that another transaction has locked: what it ends with, once `end` was done.
fn call_on_locked_row(
    setting: &str,
    call: &str,
    end: fn(&InFlight<Result<(), String>>, &mut Client),
) -> (Provocation, i32, Result<(), String>) {
    let mut holder = Provocation::new();
    let mut observer = database().connect();
    holder.client.run("BEGIN");
    assert!(holder.client.close_sid(&holder.sid.clone()));
    let mut caller = database().connect();
    caller.run(setting);
    let sql = holder.expand(&format!("SELECT session_timeout.{call}"));
    let calling = InFlight::start(caller, move |client| {
        client.batch_execute(&sql).map_err(|error| {
            error
                .code()
                .map_or_else(|| "closed".to_owned(), |code| code.code().to_owned())
        })
    });
    end(&calling, &mut observer);
    let pid = calling.pid();
    let ended = calling.answer();
    holder.client.run("ROLLBACK");
    (holder, pid, ended)
}

#[test]
fn a_timeout_inside_a_function_shows_no_session_id() {
    for (setting, sqlstate) in [
        ("SET lock_timeout = '300ms'", "55P03"),
        ("SET statement_timeout = '300ms'", "57014"),
    ] {
        for call in [
            "close_session('{sid}')",
            "open_session('{sid}')",
            "rotate_session('{sid}', '{sid}-new')",
        ] {
            let (provocation, pid, ended) = call_on_locked_row(setting, call, |_, _| ());
            assert_eq!(ended, Err(sqlstate.to_owned()), "{call}");
            assert_logged(pid, &format!("{sqlstate}:"));
            assert_logged(pid, "still waiting");
            assert_eq!(provocation.shown(), [] as [String; 0], "{setting}, {call}");
        }
    }
}

#[test]
fn a_cancellation_inside_a_function_shows_no_session_id() {
    let (provocation, pid, ended) = call_on_locked_row("SELECT 1", "close_session('{sid}')", |calling, observer| {
        calling.is_waiting(observer);
        let _: bool = observer.value("SELECT pg_cancel_backend($1)", &[&calling.pid()]);
    });
    assert_eq!(ended, Err("57014".to_owned()));
    assert_logged(pid, "57014:");
    assert_eq!(provocation.shown(), [] as [String; 0]);
}

#[test]
fn a_termination_inside_a_function_shows_no_session_id() {
    let (provocation, pid, ended) = call_on_locked_row("SELECT 1", "close_session('{sid}')", |calling, observer| {
        calling.is_waiting(observer);
        let _: bool = observer.value("SELECT pg_terminate_backend($1)", &[&calling.pid()]);
    });
    assert!(ended.is_err());
    assert_logged(pid, "57P01:");
    assert_eq!(provocation.shown(), [] as [String; 0]);
}

#[test]
fn a_deadlock_between_functions_shows_no_session_id() {
    let (mut one, mut other) = (Provocation::new(), Provocation::new());
    for provocation in [&mut one, &mut other] {
        provocation.client.run("BEGIN");
        assert!(provocation.client.close_sid(&provocation.sid.clone()));
    }
    let calls = [&other, &one].map(|of| format!("SELECT session_timeout.close_session('{}')", of.sid));
    let shown = {
        let (sids, pids, ended) = deadlock([one, other], calls);
        assert_eq!(
            ended.iter().filter(|end| **end == Err("40P01".to_owned())).count(),
            1,
            "{ended:?}"
        );
        let log = database().server().log();
        assert!(
            pids.iter().any(|pid| log.contains(&format!("Process {pid} waits for"))),
            "the deadlock is logged"
        );
        log.lines()
            .filter(|line| sids.iter().any(|sid| line.contains(sid)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown, [] as [String; 0]);
}

type Ends = Vec<Result<(), String>>;

/// Runs both calls, each on its own connection and in its open transaction: the session ids, the processes, and how the
/// calls ended.
fn deadlock(parties: [Provocation; 2], calls: [String; 2]) -> ([String; 2], Vec<i32>, Ends) {
    let sids = [parties[0].sid.clone(), parties[1].sid.clone()];
    let calling: Vec<_> = parties
        .into_iter()
        .zip(calls)
        .map(|(party, call)| {
            InFlight::start(party.client, move |client| {
                let end = outcome(client.batch_execute(&call));
                let _ = client.batch_execute("ROLLBACK");
                end
            })
        })
        .collect();
    let pids = calling.iter().map(InFlight::pid).collect();
    (sids, pids, calling.into_iter().map(InFlight::answer).collect())
}
