//! The run: a server, its databases, the connections that work there, and what is done to all of them.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, sleep};
use std::time::Duration;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Server, param};

use super::connection::Connection;
use super::rng::Rng;
use super::state::{Model, TEMPLATE_DELAY};
use super::theme::{THEMES, Theme};
use super::time::{SECOND, now};

/// Connections at work, over all databases.
pub const CONNECTIONS: usize = 12;
/// The template that databases are made from, over and over, so that their tables have the same OIDs.
const TEMPLATE: &str = "template_of_all";
/// Disagreements after which a run ends.
const ENOUGH: usize = 5;

/// A database's name and OID, which it keeps, and what is known of the one that now is there.
pub struct Slot {
    pub name: String,
    oid: u32,
    model: Mutex<Arc<Mutex<Model>>>,
}

impl Slot {
    fn new(name: &str, oid: u32) -> Self {
        Self {
            name: name.to_owned(),
            oid,
            model: Mutex::new(Arc::new(Mutex::new(Model::new(name, TEMPLATE_DELAY)))),
        }
    }

    pub fn model(&self) -> Arc<Mutex<Model>> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self) {
        let new = Arc::new(Mutex::new(Model::new(&self.name, TEMPLATE_DELAY)));
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }
}

/// A run under way.
pub struct Run<'s> {
    pub server: &'s Server,
    pub databases: [Slot; 2],
    /// Held by who connects, and alone by who replaces a database or the server.
    pub(super) gate: RwLock<()>,
    done: AtomicU64,
    /// The connections stop when so many statements are done.
    until: AtomicU64,
    stopped: AtomicBool,
    theme: AtomicUsize,
    pub disagreements: Mutex<Vec<String>>,
    seed: u64,
}

impl<'s> Run<'s> {
    /// Makes the databases.
    pub fn new(server: &'s Server, seed: u64) -> Self {
        server.execute(&format!("CREATE DATABASE {TEMPLATE}"));
        let mut client = connect(server, TEMPLATE);
        let delay = TEMPLATE_DELAY.unwrap_or(0) / SECOND;
        let set = format!("SELECT session_timeout.set_param('{}', '{delay}')", param::DELAY);
        run(&mut client, "CREATE EXTENSION inactive_session_timeout");
        run(&mut client, &set);
        drop(client);
        let databases = [Slot::new("one", 70_001), Slot::new("two", 70_002)];
        for database in &databases {
            create(&mut server.connect(), database);
        }
        Self {
            server,
            databases,
            gate: RwLock::new(()),
            done: AtomicU64::new(0),
            until: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            theme: AtomicUsize::new(0),
            disagreements: Mutex::new(Vec::new()),
            seed,
        }
    }

    pub fn theme(&self) -> &'static Theme {
        &THEMES[self.theme.load(Ordering::Relaxed)]
    }

    pub fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement is done.
    pub fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Whether the connections are to stop.
    pub fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.done() >= self.until.load(Ordering::Relaxed)
    }

    /// The server and the model differ.
    pub fn disagree(&self, what: &str) {
        let mut disagreements = self.disagreements.lock().unwrap_or_else(PoisonError::into_inner);
        let (seed, theme, done) = (self.seed, self.theme().name, self.done());
        let text = format!("SEED={seed} theme {theme}, after {done} statements: {what}");
        eprintln!("---- disagreement {} ----\n{text}", disagreements.len() + 1);
        disagreements.push(text);
        if disagreements.len() >= ENOUGH {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }

    pub fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Has the connections work on one theme for so many statements, and compares what is left in the end.
    pub fn round(&self, number: usize, theme: usize, statements: u64) {
        self.theme.store(theme, Ordering::Relaxed);
        let until = self.done() + statements;
        self.until.store(until, Ordering::Relaxed);
        let round = self.seed.wrapping_add(number as u64 * 1_000);
        let work = |number: usize| {
            let rng = Rng::new(round, number as u64 + 1);
            let mut connection = Connection::new(self, number, rng);
            while !self.is_over() {
                connection.unit();
            }
        };
        let work = &work;
        thread::scope(|scope| {
            let spawn = |number: usize| scope.spawn(move || work(number));
            let workers: Vec<_> = (0..CONNECTIONS).map(spawn).collect();
            let mut rng = Rng::new(round, 0);
            let mut next = self.done() + self.theme().every;
            while !self.is_over() {
                if self.done() >= next && !self.theme().strikes.is_empty() {
                    let strike = rng.pick(self.theme().strikes);
                    self.strike(strike, &mut rng);
                    next += self.theme().every;
                }
                if workers.iter().all(|worker| worker.is_finished()) {
                    break;
                }
                sleep(Duration::from_millis(5));
            }
        });
        if !self.has_stopped() {
            self.settle();
        }
    }
}

pub fn create(client: &mut Client, database: &Slot) {
    let Slot { name, oid, .. } = database;
    run(
        client,
        &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OID = {oid}"),
    );
}

pub fn connect(server: &Server, database: &str) -> Client {
    let config = server.config(database);
    config
        .connect(session_timeout_tests::postgres::NoTls)
        .unwrap_or_else(|error| panic!("cannot connect to {database}: {error:?}"))
}

pub fn run(client: &mut Client, sql: &str) {
    client
        .batch_execute(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The seed of the environment, or one that nobody has had.
pub fn seed() -> u64 {
    match env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => now() as u64 % 1_000_000_000,
    }
}
