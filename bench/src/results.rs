//! Everything that was measured, and what of it was aimed at.

use serde_json::{Value, json};

use crate::peers::{CHECK, LIMIT, MINUTE, Peer, SESSION_DB, UNLOGGED, UPDATE};
use crate::throughput::Setting;
use crate::{backend, cost, growth, instructions, launcher, writes};

/// All figures of a run; empty, what was left out.
#[derive(Default)]
pub struct Results {
    /// What was measured on.
    pub machine: Vec<(&'static str, String)>,
    /// Sessions of the throughput figures.
    pub sessions: u64,
    /// Over many sessions.
    pub many: Vec<Setting>,
    /// On one session.
    pub one: Vec<Setting>,
    /// As part of a request.
    pub request: Vec<Setting>,
    /// What is written.
    pub writes: Vec<writes::Row>,
    /// Inside the backend.
    pub backend: Vec<backend::Row>,
    /// Instructions.
    pub instructions: Vec<instructions::Row>,
    /// Many sessions.
    pub growth: Vec<growth::Row>,
    /// WAL bytes of the smallest update.
    pub smallest_update: f64,
    /// The background.
    pub launcher: Vec<launcher::Row>,
    /// What grows with what.
    pub cost: Vec<cost::Row>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Something aimed at.
pub struct Target {
    /// What.
    pub what: String,
    /// The least, or the most.
    pub aim: Aim,
    /// What was measured.
    pub measured: f64,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// At least this.
    Least(f64),
    /// At most this.
    Most(f64),
}

impl Target {
    /// Whether it is met.
    pub fn is_met(&self) -> bool {
        match self.aim {
            Aim::Least(least) => self.measured >= least,
            Aim::Most(most) => self.measured <= most,
        }
    }
}

impl Results {
    /// What was aimed at, with what was measured.
    pub fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut aim = |what: String, aim, measured| targets.push(Target { what, aim, measured });
        for setting in &self.many {
            let clients = setting.clients;
            let (check, limit) = (setting.of(&CHECK), setting.of(&LIMIT));
            aim(
                format!("rate, check : limit, {clients} clients"),
                Aim::Least(0.95),
                check.ratio(limit, |sample| sample.rate),
            );
            aim(
                format!("p99, check : limit, {clients} clients"),
                Aim::Most(1.1),
                check.ratio(limit, |sample| sample.p99),
            );
        }
        if let (Some(check), Some(sha256)) = (self.call("check"), self.call("sha256")) {
            aim(
                "in the backend, check : sha256()".to_owned(),
                Aim::Most(1.0),
                check / sha256,
            );
        }
        if let [committed, repeatable] = &self.one[..] {
            for (peer, least) in [(UPDATE, 30.0), (UNLOGGED, 10.0)] {
                aim(
                    format!("rate on one session, check : {}", peer.title),
                    Aim::Least(least),
                    committed.of(&CHECK).ratio(committed.of(&peer), |sample| sample.rate),
                );
            }
            aim(
                "share of checks on one session that fail, repeatable read".to_owned(),
                Aim::Most(0.0),
                repeatable.of(&CHECK).median(|sample| sample.failed),
            );
        }
        if let [first, .., last] = &self.growth[..] {
            aim(
                format!("time a check, {} sessions : {}", last.sessions, first.sessions),
                Aim::Most(1.5),
                first.check.ratio(&last.check, |sample| sample.rate),
            );
        }
        for row in &self.growth {
            let sessions = row.sessions;
            if sessions >= 10_000 {
                aim(
                    format!("bytes of memory a session, {sessions} sessions"),
                    Aim::Most(128.0),
                    row.memory as f64 / sessions as f64,
                );
            }
            if let Some(flush) = &row.flush {
                aim(
                    format!("rows a second, flush of {sessions}"),
                    Aim::Least(100_000.0),
                    flush.of_worker(),
                );
                aim(
                    format!("WAL of a flushed row : smallest update, {sessions} sessions"),
                    Aim::Most(1.2),
                    flush.record_bytes / self.smallest_update,
                );
            }
            if let Some(purge) = &row.purge {
                aim(
                    format!("rows a second, purge of {sessions}, no events"),
                    Aim::Least(200_000.0),
                    purge.of_worker(),
                );
            }
        }
        for row in &self.cost {
            let what = match row.growth {
                cost::Growth::Flat => format!("{}, largest : smallest", row.what),
                cost::Growth::Linear => format!("{}, each, largest : smallest", row.what),
            };
            aim(what, Aim::Most(row.most()), row.ratio());
        }
        targets
    }

    /// Nanoseconds of a call inside the backend.
    pub fn call(&self, name: &str) -> Option<f64> {
        Some(self.backend.iter().find(|row| row.name == name)?.median())
    }

    /// All of it.
    pub fn to_json(&self) -> Value {
        let rate = |rate: &Option<growth::Rate>| {
            rate.map(|rate| {
                json!({
                    "rows": rate.rows, "rows_per_second_of_worker": rate.of_worker(), "rows_per_second_of_processor": rate.of_processor(), "busy_s": rate.busy,
                    "total_s": rate.total, "wal_record_bytes": rate.record_bytes, "wal_image_bytes": rate.image_bytes,
                })
            })
        };
        json!({
            "machine": self.machine.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "seconds": self.seconds,
            "sessions": self.sessions,
            "over_many_sessions": self.many.iter().map(setting).collect::<Vec<_>>(),
            "on_one_session": self.one.iter().map(setting).collect::<Vec<_>>(),
            "request": self.request.iter().map(setting).collect::<Vec<_>>(),
            "writes_per_request": self.writes.iter().map(|row| json!({
                "peer": row.peer.name, "wal_record_bytes": row.record_bytes, "wal_image_bytes": row.image_bytes,
                "dead_versions": row.dead_versions, "wal_syncs": row.syncs,
            })).collect::<Vec<_>>(),
            "in_the_backend": self.backend.iter().map(|row| json!({
                "call": row.name, "title": row.title, "ns": row.median(), "rounds": row.nanoseconds,
            })).collect::<Vec<_>>(),
            "instructions": self.instructions.iter().map(|row| json!({
                "call": row.title, "without_hash": row.without_hash, "hash": row.hash,
            })).collect::<Vec<_>>(),
            "growth": self.growth.iter().map(|row| json!({
                "sessions": row.sessions, "start_ms": row.start, "memory_bytes": row.memory,
                "check": row.check.to_json(), "call_ns": row.call, "flush": rate(&row.flush),
                "purge": rate(&row.purge), "purge_with_events": rate(&row.purge_with_events),
            })).collect::<Vec<_>>(),
            "smallest_update_wal_bytes": self.smallest_update,
            "background": self.launcher.iter().map(|row| json!({
                "databases": row.databases, "launcher_ms_per_minute": row.launcher,
                "workers_ms_per_minute": row.workers, "passes_per_minute": row.passes,
            })).collect::<Vec<_>>(),
            "cost": self.cost.iter().map(|row| json!({
                "what": row.what, "size_of": row.size_of, "unit": row.unit, "figures": row.figures, "ratio": row.ratio(),
            })).collect::<Vec<_>>(),
            "targets": self.targets().iter().map(|target| json!({
                "what": target.what, "measured": target.measured, "met": target.is_met(),
            })).collect::<Vec<_>>(),
        })
    }
}

fn setting(setting: &Setting) -> Value {
    let ratio_to = |peer: &Peer, series: &crate::sample::Series| {
        setting
            .named(peer.name)
            .map(|other| series.ratio(other, |sample| sample.rate))
    };
    json!({
        "clients": setting.clients,
        "isolation": setting.isolation.name(),
        "peers": setting.rows.iter().map(|row| {
            let mut peer = row.series.to_json();
            peer["name"] = row.name.into();
            peer["title"] = row.title.into();
            for other in [LIMIT, UPDATE, MINUTE, UNLOGGED, SESSION_DB] {
                peer[format!("rate_to_{}", other.name)] = ratio_to(&other, &row.series).into();
            }
            peer
        }).collect::<Vec<_>>(),
    })
}
