//! A randomized test with a model.
//!
//! Many connections open, check, rotate and end sessions, write rows by hand, change parameters, roll back, drop and create
//! the extension, all at once and in more than one database, while databases are replaced and the server is restarted,
//! fails to start, and crashes. A model, made from what README and docs/semantics.md promise, says of each answer whether
//! it is allowed.
//!
//! | file | what |
//! | --- | --- |
//! | `time`, `history`, `clocks` | points in time; what was committed, and who can have seen it; a login's clocks |
//! | `op`, `sql`, `answer` | statements, their text, and what the server sends back |
//! | `state`, `limits`, `transaction`, `commit` | the model: a database; limits; what a transaction has not yet committed |
//! | `check`, `writes`, `lifecycle`, `by_hand`, `events`, `errors` | which answers, events and errors are allowed, and what they teach |
//! | `theme`, `script`, `choice`, `rng` | what is done, chosen from a seed |
//! | `connection`, `savepoints`, `run`, `strikes` | who does it, and what happens to databases and server meanwhile |
//! | `settle`, `records` | the comparison at the end of a round; histories |
//! | `tests` | the model by itself: a wrong answer is noticed, an allowed one is not |
//!
//! How the model judges. Each statement has a span, from before it was sent until its answer was there, by the clock that server and
//! client share. A commit is visible to a check from when COMMIT was sent at the earliest, and from when its answer was there at the
//! latest: between them a check may answer by either state. What was answered is true for all that begins later: a request that
//! counted moves the least possible activity forward, an expiry that was found is final, a login that was valid had not been found
//! expired. What cannot be known (a COMMIT whose connection was lost, activity before a crash) allows more than one answer. So the
//! model never asks how long something took, and a slow machine only makes it milder.
//!
//! The choice of statements follows from the seed, which is printed; the order in which the server takes them does not.
//! `SEED=number` runs a seed again, `THEME=name` one theme only, `ROUNDS=number` so many rounds, `SOAK=1` the long form.

mod answer;
mod by_hand;
mod check;
mod choice;
mod clocks;
mod commit;
mod connection;
mod errors;
mod events;
mod history;
mod lifecycle;
mod limits;
mod op;
mod records;
mod rng;
mod run;
mod savepoints;
mod script;
mod settle;
mod sql;
mod state;
mod strikes;
#[cfg(test)]
mod tests;
mod theme;
mod time;
mod transaction;
mod writes;

use std::env;
use std::time::Instant;

use crate::support::preloaded;
use run::{Run, seed};
use theme::THEMES;

/// Statements of a round.
const ROUND: u64 = 3_000;
/// Rounds of the long form: a million statements.
const SOAK_ROUNDS: usize = 49 * THEMES.len();

#[test]
fn the_model_allows_every_answer_of_the_server() {
    let seed = seed();
    println!("SEED={seed}");
    let soak = env::var_os("SOAK").is_some_and(|value| value == "1");
    let rounds = match env::var("ROUNDS") {
        Ok(rounds) => rounds.parse().expect("ROUNDS is a number"),
        Err(_) if soak => SOAK_ROUNDS,
        Err(_) => THEMES.len(),
    };
    let only = env::var("THEME").ok();
    let server = preloaded::builder()
        .setting("deadlock_timeout", "50ms")
        // So that databases come and go between two looks of the launcher.
        .setting("session_timeout.naptime", "2")
        .setting("session_timeout.max_workers", "4")
        .setting("max_worker_processes", "16")
        .start();
    let run = Run::new(&server, seed);
    let begun = Instant::now();
    for number in 0..rounds {
        let theme = match &only {
            Some(only) => THEMES.iter().position(|theme| theme.name == only).expect("a theme"),
            None => number % THEMES.len(),
        };
        run.round(number, theme, ROUND);
        println!(
            "{:?} {}: {} statements",
            begun.elapsed(),
            THEMES[theme].name,
            run.done()
        );
        if run.has_stopped() {
            break;
        }
    }
    let disagreements = run.disagreements.lock().expect("no panic holds it");
    assert!(
        disagreements.is_empty(),
        "SEED={seed}: {} disagreements:\n{}\nthe first of them:\n{}",
        disagreements.len(),
        disagreements
            .iter()
            .filter_map(|text| text.lines().next())
            .collect::<Vec<_>>()
            .join("\n"),
        disagreements[0]
    );
}
