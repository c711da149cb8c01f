//! A collector of sql_exporter, and what it makes of a query's rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use session_timeout_tests::postgres::types::Type;
use session_timeout_tests::postgres::{Client, Row};

/// The file, with the fields that sql_exporter knows and this one uses. It refuses others, and so does this.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collector {
    pub collector_name: String,
    pub metrics: Vec<Metric>,
    pub queries: Vec<Query>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub metric_name: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub help: String,
    /// Columns whose values are labels.
    #[serde(default)]
    pub key_labels: Vec<String>,
    /// The label that says which of the columns of `values` it is.
    pub value_label: Option<String>,
    pub values: Vec<String>,
    pub query_ref: String,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Gauge,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub query_name: String,
    pub query: String,
}

/// The values of a metric, by its labels.
pub type Samples = BTreeMap<BTreeMap<String, String>, f64>;

impl Metric {
    /// The names of its labels.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.key_labels
            .iter()
            .chain(&self.value_label)
            .map(String::as_str)
            .collect()
    }
}

impl Collector {
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let collector: Self = serde_norway::from_str(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(collector.collector_name, "session_timeout");
        collector
    }

    #[track_caller]
    pub fn metric(&self, name: &str) -> &Metric {
        let metric = self.metrics.iter().find(|metric| metric.metric_name == name);
        metric.unwrap_or_else(|| panic!("there is no metric {name}"))
    }

    #[track_caller]
    fn query_of(&self, metric: &Metric) -> &str {
        let query = self.queries.iter().find(|query| query.query_name == metric.query_ref);
        &query
            .unwrap_or_else(|| panic!("there is no query {}", metric.query_ref))
            .query
    }

    /// What a scrape makes of the metric.
    #[track_caller]
    pub fn samples(&self, client: &mut Client, metric: &Metric) -> Samples {
        let rows = match client.query(self.query_of(metric), &[]) {
            Ok(rows) => rows,
            Err(error) => panic!("{}: {error:?}", metric.metric_name),
        };
        let mut samples = Samples::new();
        for row in &rows {
            let key = |label: &String| (label.clone(), row.get::<_, String>(label.as_str()));
            for column in &metric.values {
                let mut labels: BTreeMap<_, _> = metric.key_labels.iter().map(key).collect();
                labels.extend(metric.value_label.iter().map(|label| (label.clone(), column.clone())));
                let before = samples.insert(labels, number(row, column));
                assert!(
                    before.is_none(),
                    "{} has two values for the same labels",
                    metric.metric_name
                );
            }
        }
        samples
    }

    /// Columns that are not there, or of a type that their place cannot take.
    #[track_caller]
    pub fn mistakes_in_columns(&self, client: &mut Client, metric: &Metric) -> Vec<String> {
        let statement = client.prepare(self.query_of(metric)).expect("the query");
        let types: BTreeMap<_, _> = statement
            .columns()
            .iter()
            .map(|column| (column.name(), column.type_()))
            .collect();
        let wrong = |column: &String, fits: fn(&Type) -> bool| match types.get(column.as_str()) {
            None => Some(format!("{}: there is no column {column}", metric.metric_name)),
            Some(kind) if !fits(kind) => Some(format!("{}: {column} is {kind}", metric.metric_name)),
            Some(_) => None,
        };
        let labels = metric
            .key_labels
            .iter()
            .filter_map(|label| wrong(label, |kind| *kind == Type::TEXT));
        let is_number = |kind: &Type| [Type::INT4, Type::INT8, Type::FLOAT8].contains(kind);
        let values = metric.values.iter().filter_map(|value| wrong(value, is_number));
        let unlabelled = metric.values.len() > 1 && metric.value_label.is_none();
        let unlabelled = unlabelled.then(|| format!("{}: several values need a label", metric.metric_name));
        labels.chain(values).chain(unlabelled).collect()
    }

    /// Columns of queries that nothing is made of.
    #[track_caller]
    pub fn unused_columns(&self, client: &mut Client) -> Vec<String> {
        let mut unused = Vec::new();
        for query in &self.queries {
            let metrics = self
                .metrics
                .iter()
                .filter(|metric| metric.query_ref == query.query_name);
            let used: BTreeSet<&String> = metrics
                .flat_map(|metric| metric.key_labels.iter().chain(&metric.values))
                .collect();
            let statement = client.prepare(&query.query).expect("the query");
            let names = statement.columns().iter().map(|column| column.name().to_owned());
            unused.extend(
                names
                    .filter(|name| !used.contains(name))
                    .map(|name| format!("{}.{name}", query.query_name)),
            );
        }
        unused
    }
}

/// The number in a column. A NULL would be no value at all, and the figure a gap.
#[track_caller]
fn number(row: &Row, column: &str) -> f64 {
    let index = row.columns().iter().position(|there| there.name() == column);
    let index = index.unwrap_or_else(|| panic!("there is no column {column}"));
    let kind = row.columns()[index].type_();
    #[expect(clippy::cast_precision_loss, reason = "figures of a test are small")]
    let number = if *kind == Type::INT4 {
        row.get::<_, Option<i32>>(index).map(f64::from)
    } else if *kind == Type::INT8 {
        row.get::<_, Option<i64>>(index).map(|value| value as f64)
    } else {
        row.get::<_, Option<f64>>(index)
    };
    number.unwrap_or_else(|| panic!("{column} is NULL"))
}
