//! How much is measured: everything, the quick form, or just enough to see that it still runs.

use std::env;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub struct Scale {
    /// What it is called in the results.
    pub name: &'static str,
    /// Sessions of the throughput figures.
    pub sessions: u64,
    /// Numbers of clients.
    pub clients: &'static [usize],
    /// How often each figure is measured, all peers taking turns.
    pub rounds: usize,
    /// Seconds of each measurement with pgbench.
    pub seconds: u32,
    /// Clients on one session.
    pub hot_clients: usize,
    /// Sessions that are active, and requests of each, in the minute whose writes are measured.
    pub minute: (u64, u64),
    /// Calls of one statement.
    pub calls: u64,
    /// Sessions of the growth figures.
    pub growth: &'static [u64],
    /// From how many sessions on flushes and purges are measured.
    pub maintenance_from: u64,
    /// Databases of the background's figures.
    pub databases: &'static [usize],
    /// Seconds during which these do nothing, and how often a purge is looked for in them.
    pub idle: u64,
    /// What the sizes are divided by at which costs are compared.
    pub cost_divisor: u64,
    /// What is measured.
    pub parts: Vec<Part>,
}

/// A part of what can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Requests, what they write, and calls inside the backend.
    Load,
    /// The launcher and workers of idle databases.
    Background,
    /// Instructions a call.
    Instructions,
    /// Many sessions, flush and purge.
    Growth,
    /// What grows with what.
    Cost,
}

impl Part {
    const ALL: [(&'static str, Self); 5] = [
        ("load", Self::Load),
        ("background", Self::Background),
        ("instructions", Self::Instructions),
        ("growth", Self::Growth),
        ("cost", Self::Cost),
    ];

    fn named(name: &str) -> Self {
        match Self::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, part)) => *part,
            None => {
                let known = Self::ALL.map(|(known, _)| known).join(", ");
                panic!("PARTS: \"{name}\" is none of {known}")
            }
        }
    }
}

impl Scale {
    /// As `SMOKE=1`, `QUICK=1` and `PARTS=load,growth,…` in the environment say.
    pub fn from_environment() -> Self {
        let is_set = |name| env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
        let mut scale = if is_set("SMOKE") {
            Self::smoke()
        } else if is_set("QUICK") {
            Self::quick()
        } else {
            Self::full()
        };
        let named = env::var("PARTS").unwrap_or_default();
        if !named.is_empty() {
            scale.parts = named.split(',').map(Part::named).collect();
        }
        scale
    }

    /// Whether a part is measured.
    pub fn wants(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn full() -> Self {
        Self {
            name: "full",
            sessions: 100_000,
            clients: &[1, 4, 16, 64],
            rounds: 5,
            seconds: 1,
            hot_clients: 8,
            minute: (10_000, 10),
            calls: 1_000_000,
            growth: &[1_000, 10_000, 100_000, 1_000_000, 5_000_000],
            maintenance_from: 100_000,
            databases: &[1, 10, 100],
            idle: 20,
            cost_divisor: 1,
            parts: Part::ALL.iter().map(|(_, part)| *part).collect(),
        }
    }

    fn quick() -> Self {
        Self {
            name: "quick",
            clients: &[1, 16],
            rounds: 2,
            minute: (2_000, 10),
            calls: 200_000,
            growth: &[1_000, 100_000],
            databases: &[1, 10],
            idle: 10,
            cost_divisor: 10,
            parts: vec![Part::Load, Part::Background, Part::Growth, Part::Cost],
            ..Self::full()
        }
    }

    fn smoke() -> Self {
        Self {
            name: "smoke",
            sessions: 1_000,
            clients: &[2],
            rounds: 1,
            hot_clients: 2,
            minute: (100, 2),
            calls: 10_000,
            growth: &[1_000],
            maintenance_from: 1_000,
            databases: &[1],
            idle: 1,
            cost_divisor: 1_000,
            ..Self::quick()
        }
    }
}
