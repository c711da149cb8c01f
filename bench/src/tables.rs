//! The results as tables in Markdown, for people and for `docs/performance.md`.

use std::fmt::Write;

use crate::cost;
use crate::growth::Rate;
use crate::peers::{CHECK, LIMIT};
use crate::results::{Aim, Results};
use crate::throughput::Setting;

/// All of them.
pub fn of(results: &Results) -> String {
    let mut text = String::new();
    let mut add = |title: &str, table: String| {
        let _ = writeln!(text, "### {title}\n\n{table}");
    };
    let machine = results
        .machine
        .iter()
        .map(|(name, value)| [(*name).to_owned(), value.clone()]);
    add("Measured on", table(&["what", ""], machine));
    if !results.many.is_empty() {
        let sessions = whole(results.sessions as f64);
        add(
            &format!("Requests a second over {sessions} sessions, and their ratio to the limit"),
            rates(results),
        );
        add(
            "Latencies of these, microseconds: p50 / p99 / p99.9",
            latencies(results),
        );
    }
    for setting in &results.one {
        let title = format!(
            "{} clients on one session, {}",
            setting.clients,
            setting.isolation.name()
        );
        add(&title, one(setting));
    }
    for setting in &results.request {
        add("A request's transaction", request(setting));
    }
    if !results.writes.is_empty() {
        add("Written for each request, the worker's share included", writes(results));
    }
    if !results.backend.is_empty() {
        add("Inside the backend: nanoseconds a call", backend(results));
    }
    if !results.instructions.is_empty() {
        let rows = &results.instructions;
        let rows = rows
            .iter()
            .map(|row| [row.title.to_owned(), whole(row.without_hash), whole(row.hash)]);
        add(
            "Instructions a call",
            table(&["call", "but for the hash", "hash, without instructions for it"], rows),
        );
    }
    if !results.growth.is_empty() {
        add("Growth", growth(results));
        add("Flush and purge", maintenance(results));
    }
    if !results.launcher.is_empty() {
        let title = "Background, all databases idle: milliseconds of processor time a minute";
        add(title, background(results));
    }
    if !results.cost.is_empty() {
        add("What grows with what", costs(results));
    }
    add("Targets", targets(results));
    text
}

fn rates(results: &Results) -> String {
    let mut heads = vec!["peer".to_owned()];
    heads.extend(results.many.iter().map(|setting| clients(setting.clients)));
    by_peer(&results.many, heads, |setting, name| {
        let (series, limit) = (setting.named(name)?, setting.of(&LIMIT));
        let (rate, ratio) = (
            series.median(|sample| sample.rate),
            series.ratio(limit, |sample| sample.rate),
        );
        Some(format!("{} ({ratio:.3})", whole(rate)))
    })
}

fn latencies(results: &Results) -> String {
    let mut heads = vec!["peer".to_owned()];
    heads.extend(results.many.iter().map(|setting| clients(setting.clients)));
    by_peer(&results.many, heads, |setting, name| {
        let series = setting.named(name)?;
        let at = |figure: fn(&crate::sample::Sample) -> f64| micros(series.median(figure));
        let (p50, p99, p999) = (at(|s| s.p50), at(|s| s.p99), at(|s| s.p999));
        Some(format!("{p50} / {p99} / {p999}"))
    })
}

fn by_peer(settings: &[Setting], heads: Vec<String>, cell: impl Fn(&Setting, &str) -> Option<String>) -> String {
    let Some(first) = settings.first() else {
        return String::new();
    };
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows = first.rows.iter().map(|row| {
        let mut cells = vec![row.title.to_owned()];
        cells.extend(
            settings
                .iter()
                .map(|setting| cell(setting, row.name).unwrap_or_default()),
        );
        cells
    });
    table(&heads, rows)
}

fn one(setting: &Setting) -> String {
    let check = setting.of(&CHECK);
    let rows = setting.rows.iter().map(|row| {
        let series = &row.series;
        [
            row.title.to_owned(),
            whole(series.median(|sample| sample.rate)),
            format!("{:.1}", check.ratio(series, |sample| sample.rate)),
            micros(series.median(|sample| sample.p50)),
            micros(series.median(|sample| sample.p99)),
            micros(series.median(|sample| sample.p999)),
            format!("{:.1} %", 100.0 * series.median(|sample| sample.failed)),
        ]
    });
    let heads = [
        "peer",
        "a second",
        "check : this",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "failed",
    ];
    table(&heads, rows)
}

fn request(setting: &Setting) -> String {
    let without = setting.of(&LIMIT);
    let rows = setting.rows.iter().map(|row| {
        [
            row.title.to_owned(),
            whole(row.series.median(|sample| sample.rate)),
            format!("{:.3}", row.series.ratio(without, |sample| sample.rate)),
            micros(row.series.median(|sample| sample.p50)),
            micros(row.series.median(|sample| sample.p99)),
        ]
    });
    let heads = ["transaction", "a second", "ratio", "p50 µs", "p99 µs"];
    table(&heads, rows)
}

fn writes(results: &Results) -> String {
    let rows = results.writes.iter().map(|row| {
        [
            row.peer.title.to_owned(),
            format!("{:.1}", row.record_bytes),
            format!("{:.1}", row.image_bytes),
            format!("{:.1}", row.wal_bytes()),
            format!("{:.3}", row.dead_versions),
            format!("{:.4}", row.syncs),
        ]
    });
    let heads = [
        "peer",
        "WAL bytes",
        "and of page images",
        "WAL in all",
        "dead row versions",
        "syncs of WAL",
    ];
    table(&heads, rows)
}

fn backend(results: &Results) -> String {
    let sha256 = results.call("sha256").unwrap_or(f64::NAN);
    let rows = results.backend.iter().map(|row| {
        let ratio = match row.name {
            "loop" => String::new(),
            _ => format!("{:.2}", row.median() / sha256),
        };
        [row.title.to_owned(), format!("{:.0}", row.median()), ratio]
    });
    table(&["call", "ns", ": sha256()"], rows)
}

fn growth(results: &Results) -> String {
    let rows = results.growth.iter().map(|row| {
        let micros = 1e6 / row.check.median(|sample| sample.rate);
        [
            whole(row.sessions as f64),
            format!("{micros:.1}"),
            format!("{:.0}", row.call),
            format!("{:.1}", row.memory as f64 / 1e6),
            format!("{:.0}", row.memory as f64 / row.sessions as f64),
            format!("{:.0}", row.start),
        ]
    });
    let heads = [
        "sessions",
        "µs a check, end to end",
        "ns in the backend",
        "memory, MB",
        "bytes a session",
        "start-up, ms",
    ];
    table(&heads, rows)
}

fn maintenance(results: &Results) -> String {
    let mut rows = Vec::new();
    for row in &results.growth {
        let mut add = |what: &str, rate: &Option<Rate>| {
            let Some(rate) = rate else { return };
            rows.push([
                what.to_owned(),
                whole(rate.rows as f64),
                whole(rate.of_worker()),
                whole(rate.of_processor()),
                whole(rate.rows as f64 / rate.total),
                format!("{:.0}", rate.record_bytes),
                format!("{:.0}", rate.image_bytes),
            ]);
        };
        add("flush", &row.flush);
        add("purge, deleting alone", &row.purge);
        add("purge with events", &row.purge_with_events);
    }
    rows.push([
        "smallest HOT update".to_owned(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        format!("{:.0}", results.smallest_update),
        String::new(),
    ]);
    let heads = [
        "what",
        "rows",
        "a second of a worker",
        "a second of its processor time",
        "a second, its pauses too",
        "WAL bytes a row",
        "and of page images",
    ];
    table(&heads, rows)
}

fn background(results: &Results) -> String {
    let rows = results.launcher.iter().map(|row| {
        [
            row.databases.to_string(),
            format!("{:.1}", row.launcher),
            format!("{:.0}", row.workers),
            format!("{:.0}", row.passes),
            format!("{:.1}", row.workers / row.passes),
        ]
    });
    table(&["databases", "launcher", "workers", "passes a minute", "a pass"], rows)
}

fn costs(results: &Results) -> String {
    let rows = results.cost.iter().map(|row| {
        let figures: Vec<String> = row.figures.iter().map(|(_, cost)| short(*cost)).collect();
        let sizes: Vec<String> = row.figures.iter().map(|(size, _)| whole(*size as f64)).collect();
        let aim = match row.growth {
            cost::Growth::Flat => "flat",
            cost::Growth::Linear => "linear",
        };
        [
            row.what.to_owned(),
            format!("{}: {}", row.size_of, sizes.join(" / ")),
            format!("{} {}", figures.join(" / "), row.unit),
            format!("{:.2}", row.ratio()),
            aim.to_owned(),
        ]
    });
    table(&["what", "sizes", "cost", "largest : smallest", "is to be"], rows)
}

fn targets(results: &Results) -> String {
    let rows = results.targets().into_iter().map(|target| {
        let aim = match target.aim {
            Aim::Least(least) => format!("≥ {}", short(least)),
            Aim::Most(most) => format!("≤ {}", short(most)),
        };
        let met = if target.is_met() { "yes" } else { "no" };
        [target.what, aim, short(target.measured), met.to_owned()]
    });
    table(&["what", "aim", "measured", "met"], rows)
}

fn table<R: IntoIterator<Item = String>>(heads: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let mut text = format!("| {} |\n", heads.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(heads.len()));
    for row in rows {
        let cells: Vec<String> = row.into_iter().collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn clients(count: usize) -> String {
    if count == 1 {
        "1 client".to_owned()
    } else {
        format!("{count} clients")
    }
}

fn short(number: f64) -> String {
    if number.abs() >= 1000.0 {
        whole(number)
    } else {
        format!("{number:.2}")
    }
}

fn micros(number: f64) -> String {
    if number < 10.0 {
        format!("{number:.1}")
    } else {
        whole(number)
    }
}

/// A whole number, its thousands apart.
fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = if number <= -0.5 { "-".to_owned() } else { String::new() };
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
