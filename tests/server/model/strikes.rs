//! What is done to a database or to the whole server while connections are at work.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use session_timeout_tests::postgres::{Client, NoTls};
use session_timeout_tests::{Shutdown, wait_for};

use super::connection::lock;
use super::op::Names;
use super::records::Record;
use super::rng::Rng;
use super::run::{CONNECTIONS, Run, create, run};
use super::theme::Strike;
use super::time::{Span, now};

impl Run<'_> {
    pub(super) fn strike(&self, strike: Strike, rng: &mut Rng) {
        match strike {
            Strike::Database => self.new_database(rng),
            Strike::Restart => {
                let _gate = self.gate.write();
                self.note("a clean restart");
                self.server.restart(Shutdown::Fast);
            }
            Strike::FailedStart => {
                let _gate = self.gate.write();
                self.note("a clean shutdown, a start that fails, and a start");
                self.server.stop(Shutdown::Fast);
                self.start_with_broken_hba();
                self.server.start();
            }
            Strike::Crash => self.crash(rng),
            Strike::Terminate => {
                if let Some(pid) = a_backend(&mut self.server.connect(), rng) {
                    run(
                        &mut self.server.connect(),
                        &format!("SELECT pg_terminate_backend({pid})"),
                    );
                }
            }
        }
    }

    pub(super) fn new_database(&self, rng: &mut Rng) {
        let database = &self.databases[rng.below(self.databases.len())];
        let _gate = self.gate.write();
        let mut client = self.server.connect();
        run(&mut client, &format!("DROP DATABASE {} WITH (FORCE)", database.name));
        create(&mut client, database);
        database.replace();
        self.note("a database dropped and created");
    }

    pub(super) fn crash(&self, rng: &mut Rng) {
        let _gate = self.gate.write();
        let mut client = self.server.connect();
        let Some(pid) = a_backend(&mut client, rng) else {
            return;
        };
        self.note("SIGKILL of a backend");
        session_timeout_tests::run(Command::new("kill").args(["-s", "KILL", &pid.to_string()]));
        let gone = Duration::from_secs(60);
        wait_for("the server notices", gone, || client.simple_query("SELECT 1").err());
        let again = || self.server.config("postgres").connect(NoTls).ok();
        wait_for("the server has recovered", gone, again);
        for database in &self.databases {
            lock(&database.model()).crashed(now());
        }
    }

    pub(super) fn start_with_broken_hba(&self) {
        let hba = self.server.data_directory().join("pg_hba.conf");
        let whole = fs::read(&hba).expect("pg_hba.conf");
        let mut file = OpenOptions::new().append(true).open(&hba).expect("pg_hba.conf");
        file.write_all(b"host all all nonsense\n").expect("pg_hba.conf");
        let mut postgres = self.server.command_as_server("postgres");
        let output = postgres.arg("-D").arg(self.server.data_directory()).output();
        assert!(
            !output.expect("postgres ends").status.success(),
            "it started with a broken pg_hba.conf"
        );
        fs::write(&hba, whole).expect("pg_hba.conf");
    }

    /// For the histories of all sids.
    pub(super) fn note(&self, what: &str) {
        for database in &self.databases {
            let model = database.model();
            let at = Span::at(now());
            let mut record = Record::moving(CONNECTIONS, 0, at, &format!("==== {what}"), String::new());
            record.names = Names::All;
            lock(&model).records.add(record);
        }
    }
}

/// The process of one of the connections.
fn a_backend(client: &mut Client, rng: &mut Rng) -> Option<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'model' ORDER BY pid";
    let pids: Vec<i32> = client
        .query(sql, &[])
        .expect("pg_stat_activity")
        .iter()
        .map(|row| row.get(0))
        .collect();
    (!pids.is_empty()).then(|| rng.pick(&pids))
}
