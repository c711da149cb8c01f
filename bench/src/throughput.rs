//! How many requests a second, and how long each takes: over many sessions, on one session, and as part of a request's
//! transaction.

use session_timeout_tests::Database;

use crate::load::{Load, Until};
use crate::others::{Files, Redis};
use crate::peers::{CHECK, FIRST_SID, Isolation, LIMIT, PEERS, Peer, STALE, URL};
use crate::sample::Series;
use crate::scale::Scale;

/// One peer's series.
pub struct Row {
    /// Its name in the results.
    pub name: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What was measured.
    pub series: Series,
}

/// All peers' series in one setting, those that take part in it.
pub struct Setting {
    /// How many clients.
    pub clients: usize,
    /// In what transactions.
    pub isolation: Isolation,
    /// The peers.
    pub rows: Vec<Row>,
}

impl Setting {
    /// The series of a peer.
    pub fn of(&self, peer: &Peer) -> &Series {
        self.named(peer.name)
            .unwrap_or_else(|| panic!("{} takes part", peer.name))
    }

    /// The series of the peer of this name, if it takes part.
    pub fn named(&self, name: &str) -> Option<&Series> {
        Some(&self.rows.iter().find(|row| row.name == name)?.series)
    }
}

/// Sessions by chance out of many, for each number of clients.
pub fn over_many_sessions(database: &Database, scale: &Scale, say: impl Fn(&str)) -> Vec<Setting> {
    let mut redis = Redis::start(scale.sessions);
    if redis.is_none() {
        say("Redis is not installed: it takes no part");
    }
    let files = Files::make(scale.sessions);
    let mut settings = Vec::new();
    for &clients in scale.clients {
        say(&format!("{clients} clients over {} sessions", scale.sessions));
        let mut rows = rows_of(&PEERS);
        if redis.is_some() {
            rows.push(empty_row("redis", "Redis GETEX"));
        }
        rows.push(empty_row("files", "stat and utime, local file"));
        for _ in 0..scale.rounds {
            for row in &mut rows {
                let sample = match (PEERS.iter().find(|peer| peer.name == row.name), &mut redis) {
                    (Some(peer), _) => {
                        peer.reset(database, scale.sessions, STALE);
                        let until = Until::Seconds(scale.seconds);
                        peer.run(database, scale.sessions, Isolation::ReadCommitted, clients, until)
                    }
                    (None, Some(redis)) if row.name == "redis" => redis.run(clients, scale.seconds),
                    (None, _) => files.run(clients, scale.seconds),
                };
                row.series.0.push(sample);
            }
        }
        settings.push(Setting {
            clients,
            isolation: Isolation::ReadCommitted,
            rows,
        });
    }
    settings
}

/// Several clients on one session.
pub fn on_one_session(database: &Database, scale: &Scale, say: impl Fn(&str)) -> Vec<Setting> {
    let mut settings = Vec::new();
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
        say(&format!(
            "{} clients on one session, {}",
            scale.hot_clients,
            isolation.name()
        ));
        let mut rows = rows_of(&PEERS);
        for _ in 0..scale.rounds {
            for (peer, row) in PEERS.iter().zip(&mut rows) {
                peer.reset(database, 1, 0);
                let until = Until::Seconds(scale.seconds);
                row.series
                    .0
                    .push(peer.run(database, 1, isolation, scale.hot_clients, until));
            }
        }
        settings.push(Setting {
            clients: scale.hot_clients,
            isolation,
            rows,
        });
    }
    settings
}

/// A request's transaction of three queries, without and with a check in front.
pub fn in_a_request(database: &Database, scale: &Scale, say: impl Fn(&str)) -> Setting {
    let clients = 2;
    say("a request of three queries, without and with a check");
    let script = |first: &str| {
        format!(
            "\\set sid random({FIRST_SID}, {last})\n\\set customer random(1, 20000)\n\
             BEGIN ISOLATION LEVEL REPEATABLE READ;\n{first}\
             SELECT name, language FROM customer WHERE id = :customer;\n\
             SELECT id, state, total, at FROM purchase WHERE customer_id = :customer ORDER BY at DESC LIMIT 20;\n\
             SELECT state, count(*), sum(total) FROM purchase WHERE customer_id = :customer GROUP BY state;\n\
             END;\n",
            last = FIRST_SID + scale.sessions - 1
        )
    };
    let scripts = [
        (LIMIT, script("")),
        (CHECK, script("SELECT session_timeout.check_session(:sid, :url);\n")),
    ];
    let mut rows = vec![
        empty_row(LIMIT.name, "three queries"),
        empty_row(CHECK.name, "a check and three queries"),
    ];
    for _ in 0..scale.rounds {
        for ((_, script), row) in scripts.iter().zip(&mut rows) {
            let load = Load {
                database,
                script,
                variables: &[("url", URL.to_owned())],
                clients,
                until: Until::Seconds(scale.seconds),
            };
            row.series.0.push(load.run());
        }
    }
    Setting {
        clients,
        isolation: Isolation::RepeatableRead,
        rows,
    }
}

fn rows_of(peers: &[Peer]) -> Vec<Row> {
    peers.iter().map(|peer| empty_row(peer.name, peer.title)).collect()
}

fn empty_row(name: &'static str, title: &'static str) -> Row {
    Row {
        name,
        title,
        series: Series::default(),
    }
}
