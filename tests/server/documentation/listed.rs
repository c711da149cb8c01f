//! The tests that `docs/tests.md` lists are there, each where the page says.

use std::fs;
use std::path::{Path, PathBuf};

use super::root;

/// Where files are that the page does not name from the top of the repository.
const LIVE: &str = "tests/server/live";

/// The names of tests that the page lists, each with the file or folder under which it stands.
fn listed(page: &str) -> Vec<(PathBuf, String)> {
    let mut place = PathBuf::new();
    let mut listed = Vec::new();
    for line in page.lines() {
        let span = line.split('`').nth(1).unwrap_or_default();
        if line.starts_with("  - ") {
            listed.push((place.clone(), span.to_owned()));
        } else if line.starts_with("- ") {
            let is_whole = ["tests/", "crates/"].iter().any(|top| span.starts_with(top));
            place = Path::new(if is_whole { "" } else { LIVE }).join(span);
        }
    }
    listed
}

/// The source of a file, or of all files of a folder.
fn source(path: &Path) -> String {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::read_to_string(path).unwrap_or_default();
    };
    entries
        .map(|entry| source(&entry.expect("a folder's entry").path()))
        .collect()
}

/// What a page lists and is not there.
fn missing(page: &str) -> Vec<String> {
    let is_there = |(place, name): &(PathBuf, String)| source(&root().join(place)).contains(&format!("fn {name}("));
    let listed = listed(page).into_iter().filter(|test| !is_there(test));
    listed
        .map(|(place, name)| format!("{}: {name}", place.display()))
        .collect()
}

#[test]
fn the_tests_that_the_docs_list_are_there() {
    let page = fs::read_to_string(root().join("docs/tests.md")).expect("the page");
    let listed = listed(&page).len();
    assert!(listed > 100, "only {listed} tests were found");
    assert_eq!(missing(&page), [""; 0]);
}

#[test]
fn a_listed_test_that_is_not_there_is_noticed() {
    let page = "
- `rules.rs`
  - `a_check_assigns_no_transaction_id`
  - `a_check_assigns_no`
  - `never_written`
- without preload, `tests/server/concurrency/`
  - `a_check_assigns_no_transaction_id`
";
    assert_eq!(
        missing(page),
        [
            "tests/server/live/rules.rs: a_check_assigns_no",
            "tests/server/live/rules.rs: never_written",
            "tests/server/concurrency/: a_check_assigns_no_transaction_id"
        ]
    );
}
