//! Links between the pages lead somewhere.

use std::fs;
use std::path::Path;

use super::pages;

/// The name under which forges make a heading a target.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether the page at `path` has a heading of this name.
fn has_heading(path: &Path, anchor: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut is_code = false;
    text.lines().any(|line| {
        is_code ^= line.starts_with("```");
        !is_code && line.starts_with('#') && slug(line) == anchor
    })
}

/// The links of a page to files and headings of the repository that are not there.
fn dead_links(page: &Path, text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_dead = |target: &&str| {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() {
            page.to_owned()
        } else {
            page.with_file_name("").join(file)
        };
        !target.contains("://") && (!file.exists() || !anchor.is_empty() && !has_heading(&file, anchor))
    };
    targets.filter(is_dead).map(str::to_owned).collect()
}

#[test]
fn links_in_the_docs_lead_to_files_and_headings_that_are_there() {
    let dead = pages().into_iter().flat_map(|page| {
        let text = fs::read_to_string(&page).expect("the page");
        let links = dead_links(&page, &text);
        links.into_iter().map(move |link| format!("{}: {link}", page.display()))
    });
    assert_eq!(dead.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let readme = super::root().join("README.md");
    let text = "[a](docs/nothing.md) [b](#nothing) [c](docs/operations.md#nothing) [d](#parameters) [e](https://x.org)";
    assert_eq!(
        dead_links(&readme, text),
        ["docs/nothing.md", "#nothing", "docs/operations.md#nothing"]
    );
}
