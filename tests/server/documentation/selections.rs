//! The parts of the tests that `scripts/selection.sh` names are there: a name that no test has would select nothing.

use std::env;
use std::process::Command;

use session_timeout_tests::run;

use super::root;

#[test]
fn each_name_of_a_selection_is_part_of_a_tests_name() {
    let this_program = env::current_exe().expect("the program of these tests");
    let tests = run(Command::new(this_program).arg("--list"));
    for selection in ["short", "soak"] {
        let names = run(Command::new(root().join("scripts/selection.sh")).arg(selection));
        assert!(names.contains("rules::"), "{names}");
        for name in names.split_whitespace() {
            let is_there = tests.lines().any(|test| test.contains(name));
            assert!(is_there, "{selection}: no test is named {name}");
        }
    }
}
