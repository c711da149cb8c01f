//! Numbers: what one measurement yields, and the medians of several.

use serde_json::{Value, json};

/// What one measurement with some clients yields.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Successful transactions a second.
    pub rate: f64,
    /// Latencies in microseconds that half, 99 % and 99.9 % of the transactions do not pass.
    pub p50: f64,
    /// See `p50`.
    pub p99: f64,
    /// See `p50`.
    pub p999: f64,
    /// The share of transactions that failed.
    pub failed: f64,
}

impl Sample {
    /// From the latencies, in microseconds, of the transactions that succeeded within some seconds.
    pub fn of(mut latencies: Vec<f64>, seconds: f64, failed: usize) -> Self {
        latencies.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (latencies.len() as f64 * share).ceil() as usize;
            latencies.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
        };
        Self {
            rate: latencies.len() as f64 / seconds,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            failed: failed as f64 / (latencies.len() + failed).max(1) as f64,
        }
    }
}

/// A figure's name in the results, and how to read it from a sample.
pub type Figure = (&'static str, fn(&Sample) -> f64);

/// The figures of a sample.
pub const FIGURES: [Figure; 5] = [
    ("rate", |sample| sample.rate),
    ("p50_us", |sample| sample.p50),
    ("p99_us", |sample| sample.p99),
    ("p999_us", |sample| sample.p999),
    ("failed", |sample| sample.failed),
];

/// The samples of one peer in one setting, a round each.
#[derive(Debug, Clone, Default)]
pub struct Series(pub Vec<Sample>);

impl Series {
    /// The median of a figure over the rounds.
    pub fn median(&self, figure: fn(&Sample) -> f64) -> f64 {
        median(self.0.iter().map(figure))
    }

    /// The median over the rounds of the ratio to another peer's sample of the same round.
    pub fn ratio(&self, to: &Self, figure: fn(&Sample) -> f64) -> f64 {
        median(self.0.iter().zip(&to.0).map(|(own, other)| figure(own) / figure(other)))
    }

    /// The medians, and the rounds that they are of.
    pub fn to_json(&self) -> Value {
        FIGURES
            .iter()
            .map(|(name, figure)| {
                let rounds: Vec<f64> = self.0.iter().map(figure).collect();
                (
                    (*name).to_owned(),
                    json!({ "median": self.median(*figure), "rounds": rounds }),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// The median; NaN of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
