//! Databases: one for each test, so that tests run side by side.

use std::process::Command;

use postgres::{Client, Config, NoTls};

use crate::command::run;
use crate::server::{SUPERUSER, Server, unique_name};

/// What a database is to be like. Made by [`Server::database_builder`].
pub struct DatabaseBuilder<'a> {
    server: &'a Server,
    name: String,
    options: String,
    extension: bool,
}

impl<'a> DatabaseBuilder<'a> {
    pub(crate) fn new(server: &'a Server, hint: &str) -> Self {
        Self {
            server,
            name: unique_name(hint),
            options: String::new(),
            extension: true,
        }
    }

    /// The encoding, such as `LATIN1`, with the C locale.
    pub fn encoding(mut self, encoding: &str) -> Self {
        self.options += &format!(" TEMPLATE template0 LOCALE 'C' ENCODING '{encoding}'");
        self
    }

    /// The owning role.
    pub fn owner(mut self, role: &str) -> Self {
        self.options += &format!(" OWNER \"{role}\"");
        self
    }

    /// Leaves out `CREATE EXTENSION`.
    pub fn without_extension(mut self) -> Self {
        self.extension = false;
        self
    }

    /// Creates it.
    pub fn create(self) -> Database<'a> {
        self.server
            .execute(&format!("CREATE DATABASE {} {}", self.name, self.options));
        let database = Database {
            server: self.server,
            name: self.name,
        };
        if self.extension {
            database.execute("CREATE EXTENSION inactive_session_timeout");
        }
        database
    }
}

/// A database with a name of its own, dropped at the end together with what is connected to it.
pub struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Database<'a> {
    /// Its name, which needs no quoting.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is in.
    pub fn server(&self) -> &'a Server {
        self.server
    }

    /// How to connect to it as the superuser, for a test that wants other settings.
    pub fn config(&self) -> Config {
        self.server.config(&self.name)
    }

    /// A connection of the superuser.
    #[track_caller]
    pub fn connect(&self) -> Client {
        self.connect_as(SUPERUSER)
    }

    /// A connection of `role`, which needs LOGIN; no password is asked.
    #[track_caller]
    pub fn connect_as(&self, role: &str) -> Client {
        match self.config().user(role).connect(NoTls) {
            Ok(client) => client,
            Err(error) => panic!("cannot connect to {} as {role}: {error:?}", self.name),
        }
    }

    /// Runs statements as the superuser, on a connection of their own.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        if let Err(error) = self.connect().batch_execute(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    /// Sets rows of `config_parameter` by UPDATE, as an administrator does, in one transaction. Panics where a row
    /// is missing. Names are in [`crate::param`].
    #[track_caller]
    pub fn set_params(&self, params: &[(&str, &str)]) {
        let mut client = self.connect();
        let mut transaction = client.transaction().expect("BEGIN");
        for (key, value) in params {
            let updated = transaction
                .execute(
                    "UPDATE session_timeout.config_parameter SET value = $2 WHERE key = $1",
                    &[key, value],
                )
                .unwrap_or_else(|error| panic!("{key} = {value}: {error:?}"));
            assert_eq!(updated, 1, "no such parameter row: {key}");
        }
        transaction.commit().expect("COMMIT");
    }

    /// One of PostgreSQL's programs (`psql`, `pg_dump`, `pgbench`), told by its environment to connect here as the
    /// superuser. Run it with [`run`], or by hand where it is to fail.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.server.program(name);
        command.env("PGDATABASE", &self.name);
        command
    }

    /// Runs `sql` through psql and returns what it prints, unaligned and without headers.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        run(self
            .program("psql")
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]))
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.server
            .try_cleanup(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}
