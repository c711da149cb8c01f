//! What `monitoring/` has for sql_exporter, Prometheus and Grafana fits the extension, and each part the others.
//! (That Prometheus itself can read the rules and the dashboard's queries is checked by `make lint`.)

mod collector;
mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::serde_json::Value;
use session_timeout_tests::{Database, Server, eventually, serde_json, shared};

use crate::support::{SOON, SessionCalls, preloaded};
use collector::{Collector, Kind, Metric};
use promql::Use;

#[track_caller]
fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn collector() -> Collector {
    Collector::parse(&read("session_timeout.collector.yml"))
}

// ---- The collector ---------------------------------------------------------------------------------------------------

/// A connection of a role that has pg_monitor and nothing else.
#[track_caller]
fn as_monitor(server: &'static Server, test: fn(&mut Client)) {
    let role = server.role("monitor", "LOGIN IN ROLE pg_monitor");
    let database = server.database("monitored");
    test(&mut database.connect_as(role.name()));
}

/// What a scrape of a preloaded server finds: a database's worker has made a pass, and a session was checked.
#[track_caller]
fn scrape_of_a_live_server(test: fn(&Collector, &Database, &mut Client)) {
    let role = preloaded::server().role("monitor", "LOGIN IN ROLE pg_monitor");
    let database = preloaded::database("monitored", &[]);
    let mut app = database.connect();
    app.open("sid");
    assert!(app.check("sid"));
    test(&collector(), &database, &mut database.connect_as(role.name()));
}

#[test]
fn pg_monitor_alone_can_run_every_query() {
    scrape_of_a_live_server(|collector, _, monitor| {
        for metric in &collector.metrics {
            let samples = collector.samples(monitor, metric);
            assert!(!samples.is_empty(), "{} has no value", metric.metric_name);
        }
    });
}

#[test]
fn a_query_has_the_columns_that_its_metrics_name_and_types_that_they_can_take() {
    scrape_of_a_live_server(|collector, _, monitor| {
        let mut mistakes = Vec::new();
        for metric in &collector.metrics {
            mistakes.extend(collector.mistakes_in_columns(monitor, metric));
        }
        assert_eq!(mistakes, [""; 0]);
    });
}

#[test]
fn no_query_answers_a_column_that_no_metric_takes() {
    scrape_of_a_live_server(|collector, _, monitor| assert_eq!(collector.unused_columns(monitor), [""; 0]));
}

#[test]
fn the_values_are_those_of_the_views() {
    scrape_of_a_live_server(|collector, database, monitor| {
        let mut value = |metric: &str, labels: &[(&str, &str)]| {
            let metric = collector.metric(metric);
            let labels: BTreeMap<_, _> = labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            let samples = collector.samples(monitor, metric);
            samples
                .get(&labels)
                .copied()
                .unwrap_or_else(|| panic!("{labels:?} is not in {samples:?}"))
        };
        assert_eq!(value("session_timeout_preloaded", &[]), 1.0);
        assert_eq!(value("session_timeout_in_recovery", &[]), 0.0);
        assert_eq!(value("session_timeout_launchers", &[]), 1.0);
        assert!(value("session_timeout_checks_total", &[("answer", "active")]) >= 1.0);
        assert!(value("session_timeout_registry_entries", &[]) >= 1.0);
        let here = ("datname", database.name());
        assert_eq!(
            value("session_timeout_ended_total", &[here, ("found_by", "check")]),
            0.0
        );

        let mut app = database.connect();
        app.has_been_idle("sid", "3 hours");
        assert!(!app.check("sid"));
        eventually("the worker ends the session", SOON, || {
            value("session_timeout_ended_total", &[here, ("found_by", "check")]) == 1.0
        });
        let next_purge = value("session_timeout_next_purge_timestamp_seconds", &[here]);
        let now: f64 = app.value("SELECT extract(epoch FROM clock_timestamp())::double precision", &[]);
        assert!((next_purge - now).abs() < 120.0, "{next_purge} {now}");
    });
}

#[test]
fn without_preload_a_scrape_says_that_and_fails_nowhere() {
    as_monitor(shared(), |monitor| {
        let collector = collector();
        for metric in &collector.metrics {
            let samples = collector.samples(monitor, metric);
            match metric.metric_name.as_str() {
                "session_timeout_preloaded" => assert_eq!(samples.into_values().collect::<Vec<_>>(), [0.0]),
                "session_timeout_in_recovery" | "session_timeout_launchers" => assert_eq!(samples.len(), 1),
                name if name.starts_with("session_timeout_table_") => assert_eq!(samples.len(), 4, "{name}"),
                name => assert!(samples.is_empty(), "{name}: {samples:?}"),
            }
        }
    });
}

#[test]
fn names_of_metrics_follow_the_conventions() {
    let collector = collector();
    let names: BTreeSet<_> = collector
        .metrics
        .iter()
        .map(|metric| metric.metric_name.as_str())
        .collect();
    assert_eq!(names.len(), collector.metrics.len(), "a name is there once");
    for metric in &collector.metrics {
        let name = &metric.metric_name;
        assert!(name.starts_with("session_timeout_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
    }
}

// ---- The dashboard and the alerts ------------------------------------------------------------------------------------

/// The metric that a query uses is there, has the labels that it is asked for, and is used as its kind wants.
fn mistakes_in_use(collector: &Collector, query: &str) -> Vec<String> {
    let mistake = |what: String| format!("{what}: {query}");
    let uses = promql::uses_of(query, "session_timeout_");
    if uses.is_empty() {
        return vec![mistake("uses no metric".to_owned())];
    }
    let mut mistakes = Vec::new();
    for Use {
        metric: name,
        labels,
        as_rate,
    } in uses
    {
        let Some(metric) = collector.metrics.iter().find(|metric| metric.metric_name == name) else {
            mistakes.push(mistake(format!("there is no {name}")));
            continue;
        };
        if as_rate != (metric.kind == Kind::Counter) {
            mistakes.push(mistake(format!("{name} is a {:?}", metric.kind)));
        }
        let known = metric.labels();
        let unknown = labels
            .iter()
            .filter(|label| *label != "instance" && !known.contains(label.as_str()));
        mistakes.extend(unknown.map(|label| mistake(format!("{name} has no label {label}"))));
    }
    mistakes
}

fn dashboard() -> Value {
    serde_json::from_str(&read("session_timeout.dashboard.json")).expect("JSON")
}

/// The values of all fields of this name, anywhere in `value`.
fn fields<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(name));
            object.values().for_each(|value| fields(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, name, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_uses_metrics_and_labels_that_are_there() {
    let (collector, dashboard) = (collector(), dashboard());
    let mut queries = Vec::new();
    fields(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 15, "{}", queries.len());
    let queries = queries.into_iter().map(|query| query.as_str().expect("a text"));
    let mistakes: Vec<_> = queries.flat_map(|query| mistakes_in_use(&collector, query)).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_dashboards_variables_are_labels_that_are_there() {
    let (collector, dashboard) = (collector(), dashboard());
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let asked = variables.iter().filter_map(|variable| variable["definition"].as_str());
    let mistakes: Vec<_> = asked
        .filter_map(|asked| {
            let (metric, label) = asked
                .strip_prefix("label_values(")?
                .strip_suffix(')')?
                .rsplit_once(", ")?;
            let name = metric.split('{').next().unwrap_or_default();
            let metric = collector.metric(name);
            (label != "instance" && !metric.labels().contains(label)).then(|| asked.to_owned())
        })
        .collect();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!(variables.len(), 3);
}

#[test]
fn legends_of_the_dashboard_name_labels_that_the_query_keeps() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut mistakes = Vec::new();
    for target in targets {
        let (query, legend) = (target["expr"].as_str().expect("a query"), &target["legendFormat"]);
        let legend = legend.as_str().expect("a legend");
        let shown = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        // Without an aggregation, all labels are kept.
        let kept = |label: &str| !query.contains(" by (") || promql::kept(query).contains(label);
        mistakes.extend(
            shown
                .filter(|label| !kept(label))
                .map(|label| format!("{label}: {query}")),
        );
    }
    assert_eq!(mistakes, [""; 0]);
}

#[test]
fn the_dashboard_shows_every_metric() {
    let (collector, text) = (collector(), read("session_timeout.dashboard.json"));
    let is_hidden = |metric: &&Metric| !text.contains(&metric.metric_name);
    let hidden: Vec<_> = collector
        .metrics
        .iter()
        .filter(is_hidden)
        .map(|metric| &metric.metric_name)
        .collect();
    assert_eq!(hidden, [""; 0]);
}

#[test]
fn the_alerts_use_metrics_and_labels_that_are_there() {
    let collector = collector();
    let rules: Value = serde_norway::from_str(&read("session_timeout.rules.yml")).expect("YAML");
    let mut queries = Vec::new();
    fields(&rules, "expr", &mut queries);
    assert!(queries.len() > 5, "{}", queries.len());
    let queries = queries.into_iter().map(|query| query.as_str().expect("a text"));
    let mistakes: Vec<_> = queries.flat_map(|query| mistakes_in_use(&collector, query)).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn the_docs_say_when_each_alert_fires() {
    let docs =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md")).expect("the page");
    let rules: Value = serde_norway::from_str(&read("session_timeout.rules.yml")).expect("YAML");
    let mut alerts = Vec::new();
    fields(&rules, "alert", &mut alerts);
    let missing: Vec<_> = alerts
        .into_iter()
        .map(|alert| alert.as_str().expect("a text"))
        .filter(|alert| !docs.contains(&format!("`{alert}`")))
        .collect();
    assert_eq!(missing, [""; 0]);
}
