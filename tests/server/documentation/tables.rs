//! Defaults and ranges in the docs' tables are those of the extension.

use std::fs;

use super::root;
use crate::support::{SessionCalls, app, preloaded};

/// The rows of a page's tables whose first cell is code that begins with `prefix`: each as its cells, without backticks.
#[track_caller]
fn rows(page: &str, prefix: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(page)).expect("the page");
    let start = format!("| `{prefix}");
    let rows = text.lines().filter(|line| line.starts_with(&start));
    rows.map(|line| {
        line.split('|')
            .skip(1)
            .map(|cell| cell.replace('`', "").trim().to_owned())
            .collect()
    })
    .collect()
}

#[test]
fn the_readme_lists_the_parameters_with_their_defaults() {
    let listed: Vec<_> = rows("README.md", "inactive_session_time_out_")
        .into_iter()
        // A default that is too long for a line is broken at its commas.
        .map(|row| (row[0].clone(), row[1].replace(", ", ",")))
        .collect();
    let seeded = app()
        .query(
            "SELECT key, value FROM session_timeout.config_parameter ORDER BY id",
            &[],
        )
        .expect("the parameters");
    let seeded: Vec<(String, String)> = seeded.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(listed, seeded);
}

#[test]
fn the_settings_of_the_server_have_the_defaults_and_ranges_that_the_docs_say() {
    let numbers = |cell: &str| -> Vec<String> {
        let numbers = cell.split(' ').map(|word| word.replace(',', ""));
        numbers.filter(|word| word.parse::<u64>().is_ok()).collect()
    };
    let listed: Vec<_> = rows("docs/operations.md", "session_timeout.")
        .into_iter()
        .map(|row| (row[0].clone(), [numbers(&row[1]), numbers(&row[2])].concat()))
        .collect();
    let mut client = preloaded::server().connect();
    let there: Vec<String> = client
        .query("SELECT name FROM pg_settings WHERE name LIKE 'session_timeout.%'", &[])
        .expect("the settings")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(listed.len(), there.len(), "{listed:?} {there:?}");
    for (name, numbers) in listed {
        let real: Vec<String> = client.value(
            "SELECT ARRAY[boot_val, min_val, max_val] FROM pg_settings WHERE name = $1",
            &[&name],
        );
        assert_eq!(numbers, real, "{name}");
    }
}
