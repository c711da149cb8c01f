//! Behind PgBouncer in transaction mode: a client's transactions run on any of a few connections.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use session_timeout_tests::postgres::{Client, Config, NoTls, SimpleQueryMessage};
use session_timeout_tests::{Database, wait_for};

use crate::support::preloaded::{self, QUICK};
use crate::support::{SessionCalls, all_at_once, new_sid};

const PORT: u16 = 6432;

/// A pgbouncer before the live server. Ended when dropped.
struct Pooler {
    process: Child,
    directory: PathBuf,
}

impl Pooler {
    /// Debian's package, which `make test` installs.
    fn program() -> &'static str {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
        let found = places.into_iter().find(|place| fs::metadata(place).is_ok());
        found.expect("pgbouncer is not installed: apt-get install pgbouncer")
    }

    fn start(database: &Database) -> Self {
        let data = preloaded::server().data_directory();
        let directory = data.parent().expect("the server's directory").to_owned();
        let settings = directory.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host={0} user=postgres\n\
             [pgbouncer]\nunix_socket_dir = {0}\nlisten_port = {PORT}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 100\n",
            directory.display()
        );
        fs::write(&settings, text).expect("pgbouncer's settings");
        let mut command = Command::new(Self::program());
        // It refuses to run as root.
        if run_as_root() {
            command.args(["-u", "postgres"]);
        }
        let process = command
            .arg("-q")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pgbouncer starts");
        let pooler = Self { process, directory };
        wait_for("pgbouncer answers", Duration::from_secs(30), || {
            pooler.config(database).connect(NoTls).ok()
        });
        pooler
    }

    fn config(&self, database: &Database) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.directory)
            .port(PORT)
            .user("postgres")
            .dbname(database.name());
        config
    }

    fn connect(&self, database: &Database) -> Client {
        self.config(database).connect(NoTls).expect("a connection by pgbouncer")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run_as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// The one value that a call answers, in one message: a prepared statement would be another connection's.
#[track_caller]
fn call(client: &mut Client, call: &str) -> String {
    let messages = client
        .simple_query(&format!("SELECT session_timeout.{call}"))
        .unwrap_or_else(|error| panic!("{call}: {error:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row.and_then(|row| row.get(0)).unwrap_or_default().to_owned()
}

#[test]
fn sessions_are_right_behind_pgbouncer_in_transaction_mode() {
    let database = preloaded::database("pooled", &QUICK);
    let pooler = Pooler::start(&database);
    let clients: Vec<Client> = (0..24).map(|_| pooler.connect(&database)).collect();
    all_at_once(clients, |client, n| {
        for round in 0..15 {
            let (sid, next) = (new_sid(), new_sid());
            let check = |client: &mut Client, sid: &str| call(client, &format!("check_session('{sid}')"));
            assert_eq!(check(client, &sid), "f", "client {n}, round {round}");
            call(client, &format!("open_session('{sid}', 'user-{n}')"));
            assert_eq!(check(client, &sid), "t");
            client.run("BEGIN");
            assert_eq!(call(client, &format!("close_session('{sid}')")), "t");
            assert_eq!(check(client, &sid), "f");
            client.run("ROLLBACK");
            assert_eq!(check(client, &sid), "t");
            assert_eq!(call(client, &format!("rotate_session('{sid}', '{next}')")), "t");
            assert_eq!(check(client, &sid), "f");
            assert_eq!(check(client, &next), "t");
            client.run("BEGIN");
            call(client, "set_param('inactive_session_time_out_delay', '1 us')");
            assert_eq!(check(client, &next), "f");
            client.run("ROLLBACK");
            assert_eq!(check(client, &next), "t");
            assert_eq!(call(client, &format!("close_user_sessions('user-{n}')")), "1");
            assert_eq!(check(client, &next), "f");
        }
    });
    // It was transaction mode indeed: few connections for many clients.
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    assert!(database.connect().value::<i64>(sql, &[]) <= 4);
}
