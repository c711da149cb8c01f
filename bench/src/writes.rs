//! What a request writes: WAL, row versions left behind, syncs of files. The worker's share is in it.

use std::time::Duration;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, eventually, param};

use crate::load::Until;
use crate::peers::{Isolation, PEERS, Peer};
use crate::scale::Scale;
use crate::wal;

/// What one request of one peer writes.
pub struct Row {
    /// The peer.
    pub peer: Peer,
    /// Bytes of WAL records, images apart.
    pub record_bytes: f64,
    /// Bytes of images of full pages.
    pub image_bytes: f64,
    /// Row versions that are dead afterwards.
    pub dead_versions: f64,
    /// Syncs of the WAL.
    pub syncs: f64,
}

impl Row {
    /// Bytes of WAL in all: records and images.
    pub fn wal_bytes(&self) -> f64 {
        self.record_bytes + self.image_bytes
    }
}

/// A minute of traffic, made as fast as it goes: some active sessions, some requests of each, and the activity written
/// down at its end.
pub fn of_a_minute(database: &Database, scale: &Scale, say: impl Fn(&str)) -> Vec<Row> {
    let (sessions, requests_each) = scale.minute;
    say(&format!(
        "writes of {sessions} sessions with {requests_each} requests each"
    ));
    let requests = sessions * requests_each;
    let mut client = database.connect();
    PEERS
        .iter()
        .map(|peer| {
            peer.reset(database, sessions, 100);
            write_down(database);
            client.batch_execute("CHECKPOINT").expect("CHECKPOINT");
            let before = Counts::now(&mut client, peer);
            peer.run(
                database,
                sessions,
                Isolation::ReadCommitted,
                scale.hot_clients,
                Until::Transactions(requests),
            );
            if peer.name == crate::peers::CHECK.name {
                write_down(database);
            }
            let after = Counts::now(&mut client, peer);
            let written = wal::between(database.server(), &mut client, &before.lsn, &after.lsn);
            let each = |number: u64| number as f64 / requests as f64;
            Row {
                peer: *peer,
                record_bytes: each(written.record_bytes),
                image_bytes: each(written.image_bytes),
                dead_versions: each(after.dead - before.dead),
                syncs: each(after.syncs - before.syncs),
            }
        })
        .collect()
}

/// Has the worker write all activity down, and waits until it has.
pub fn write_down(database: &Database) {
    database.set_params(&[(param::FLUSH_INTERVAL, "1")]);
    let mut client = database.connect();
    eventually("activity is written down", Duration::from_secs(300), || {
        client
            .query_one(
                "SELECT NOT EXISTS (SELECT FROM session_timeout.session AS s
                     JOIN session_timeout.active_session AS a USING (digest) WHERE a.last_activity > s.last_activity)
                     AND NOT EXISTS (SELECT FROM session_timeout.stat_worker WHERE pid IS NOT NULL)",
                &[],
            )
            .expect("active sessions")
            .get(0)
    });
    database.set_params(&[(param::FLUSH_INTERVAL, "60")]);
}

struct Counts {
    lsn: wal::Lsn,
    dead: u64,
    syncs: u64,
}

impl Counts {
    fn now(client: &mut Client, peer: &Peer) -> Self {
        // What processes that have ended counted is there by then.
        let version: i32 = number(client, "SELECT current_setting('server_version_num')::int") as i32;
        let syncs = if version >= 180_000 {
            "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'"
        } else {
            "SELECT wal_sync FROM pg_stat_wal"
        };
        let syncs = number(client, syncs);
        let dead = peer.table.map_or(0, |table| {
            let sql = format!("SELECT n_tup_upd + n_tup_del FROM pg_stat_all_tables WHERE relid = '{table}'::regclass");
            number(client, &sql)
        });
        Self {
            lsn: wal::here(client),
            dead,
            syncs,
        }
    }
}

fn number(client: &mut Client, sql: &str) -> u64 {
    let row = client.query_one(&format!("SELECT ({sql})::bigint"), &[]);
    row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get::<_, i64>(0) as u64
}
