//! As much of PromQL as the dashboard's and the alerts' queries need to be compared with the collector.

use std::collections::BTreeSet;

/// A metric in a query.
pub struct Use {
    pub metric: String,
    /// The labels that it is selected by or grouped by.
    pub labels: BTreeSet<String>,
    /// Whether it stands in `rate` or `increase`.
    pub as_rate: bool,
}

fn is_part_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The metrics in a query whose names begin with `prefix`.
pub fn uses_of(query: &str, prefix: &str) -> Vec<Use> {
    let grouped = kept(query);
    let mut uses = Vec::new();
    let mut from = 0;
    while let Some(at) = query[from..].find(prefix).map(|at| from + at) {
        let end = query[at..]
            .find(|c| !is_part_of_name(c))
            .map_or(query.len(), |end| at + end);
        let selector = query[end..].strip_prefix('{').and_then(|rest| rest.split('}').next());
        // A regular expression's comma would have to be told apart; there is none.
        let matchers = selector.unwrap_or_default().split(',');
        let selected = matchers.filter_map(|matcher| Some(matcher.split_once(['=', '!'])?.0.trim().to_owned()));
        let before = query[..at].trim_end_matches('(');
        uses.push(Use {
            metric: query[at..end].to_owned(),
            labels: selected.chain(grouped.clone()).collect(),
            as_rate: ["rate", "increase"].iter().any(|function| before.ends_with(function)),
        });
        from = end;
    }
    uses
}

/// The labels that a query groups by, or takes away by `without`.
pub fn kept(query: &str) -> BTreeSet<String> {
    let groups = [" by (", " without ("]
        .into_iter()
        .flat_map(|word| query.split(word).skip(1));
    let lists = groups.filter_map(|rest| rest.split(')').next());
    lists
        .flat_map(|list| list.split(','))
        .map(|label| label.trim().to_owned())
        .collect()
}
