//! Throwaway servers.
//!
//! A server lives in one directory under `/tmp` (short, since a socket's path has at most 107 bytes): its data, its
//! socket and its log. As root it runs as the user `postgres`, which PostgreSQL asks for. A guard process, outside
//! the test's process group and holding one end of a pipe to it, stops the server and removes the directory when
//! the other end closes: at `Drop`, at the end of the tests, also where they are killed. So nothing stays behind.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

use postgres::{Client, Config, NoTls};

use crate::command::run;
use crate::database::{Database, DatabaseBuilder};
use crate::poll::wait_for;
use crate::role::Role;

/// The superuser of every server, and what connections are made as unless told otherwise.
pub(crate) const SUPERUSER: &str = "postgres";

/// How long a server may take to start or to stop.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long any one statement of a test may take, so that a deadlock ends as a failure with a stack.
const STATEMENT_LIMIT: &str = "-c statement_timeout=120s";

const SETTINGS: &str = "
listen_addresses = ''
max_connections = 200
max_prepared_transactions = 10
log_line_prefix = '%m [%p] %b %e '
";

const SETTINGS_WITHOUT_DURABILITY: &str = "
fsync = off
full_page_writes = off
";

/// The server that tests share unless they need one to themselves: started at the first call, and stopped with the
/// test process.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::builder().start())
}

/// A name no other object of this process has: the hint and a number. Needs no quoting.
pub(crate) fn unique_name(hint: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(
        hint.len() <= 32 && hint.starts_with(|c: char| c.is_ascii_lowercase()) && hint.chars().all(fits),
        "{hint:?}"
    );
    format!("{hint}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How a server is told to stop, as pg_ctl's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Connections are waited for, then a shutdown checkpoint is written.
    Smart,
    /// Connections are ended, then a shutdown checkpoint is written.
    Fast,
    /// No checkpoint: the next start recovers, as after a crash.
    Immediate,
}

/// What a server is to be like. Made by [`Server::builder`].
#[derive(Default)]
pub struct ServerBuilder {
    settings: String,
    durable: bool,
    bindir: Option<PathBuf>,
    checksums: bool,
    own_clock: bool,
}

impl ServerBuilder {
    /// Adds a line to postgresql.conf. The value is quoted here.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings += &setting_line(name, value);
        self
    }

    /// Keeps fsync and full-page writes, for tests of what survives.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Takes another PostgreSQL than the tests', by its bin directory.
    pub fn bindir(mut self, bindir: impl Into<PathBuf>) -> Self {
        self.bindir = Some(bindir.into());
        self
    }

    /// With a wall clock of its own, which [`Server::set_clock`] sets. It is that of the machine until then.
    pub fn own_clock(mut self) -> Self {
        self.own_clock = true;
        self
    }

    /// With checksums of data pages, whatever the version's own choice is.
    pub fn checksums(mut self) -> Self {
        self.checksums = true;
        self
    }

    /// Initializes and starts it. Panics, with the log, where that fails.
    pub fn start(self) -> Server {
        let server = self.initialize();
        server.start();
        server
    }

    /// Initializes it and leaves it stopped.
    pub fn initialize(self) -> Server {
        let server = Server::in_new_directory(self.bindir.unwrap_or_else(bindir));
        if self.own_clock {
            server.make_clock();
        }

        let mut initdb = server.command_as_server("initdb");
        initdb.arg("-D").arg(server.data_directory());
        if self.checksums {
            initdb.arg("--data-checksums");
        }
        run(initdb.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]));

        server.append_socket();
        server.append_settings(SETTINGS);
        if !self.durable {
            server.append_settings(SETTINGS_WITHOUT_DURABILITY);
        }
        server.append_settings(&self.settings);
        server
    }
}

/// A running PostgreSQL server with nothing in it. Stopped and removed when dropped.
pub struct Server {
    bindir: PathBuf,
    user: Option<ServerUser>,
    directory: PathBuf,
    postmaster: Mutex<Option<Child>>,
    // Dropped last: it removes the directory.
    _guard: Guard,
}

impl Server {
    /// A server with settings of its own. Tests that need none use [`shared`].
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// A hot standby of this server, with its settings, that follows it over its socket.
    pub fn standby(&self) -> Server {
        let standby = Self::in_new_directory(self.bindir.clone());
        let mut backup = self.command_as_server("pg_basebackup");
        backup.arg("-D").arg(standby.data_directory());
        run(backup.args(["-R", "-X", "stream", "-c", "fast", "--no-sync"]));
        standby.append_socket();
        standby.start();
        standby
    }

    /// A copy of this server, which is stopped, without what is in its `pg_stat`: stopped as well.
    pub fn copy(&self) -> Server {
        let copy = Self::in_new_directory(self.bindir.clone());
        let mut cp = self.command_as_server("/bin/cp");
        run(cp.arg("-a").arg(self.data_directory()).arg(copy.data_directory()));
        for file in fs::read_dir(copy.data_directory().join("pg_stat"))
            .expect("pg_stat")
            .flatten()
        {
            fs::remove_file(file.path()).expect("it is removed");
        }
        copy.append_socket();
        copy
    }

    fn in_new_directory(bindir: PathBuf) -> Self {
        let user = ServerUser::current();
        let directory = make_directory(user.as_ref());
        let guard = Guard::start(&directory);
        Self {
            bindir,
            user,
            directory,
            postmaster: Mutex::new(None),
            _guard: guard,
        }
    }

    fn append_socket(&self) {
        let sockets = setting_line("unix_socket_directories", &self.directory.display().to_string());
        self.append_settings(&sockets);
    }

    /// A database of its own for a test, with the extension.
    pub fn database(&self, hint: &str) -> Database<'_> {
        self.database_builder(hint).create()
    }

    /// A database that differs: another encoding or owner, or without the extension.
    pub fn database_builder(&self, hint: &str) -> DatabaseBuilder<'_> {
        DatabaseBuilder::new(self, hint)
    }

    /// A role of its own for a test, with what follows its name in CREATE ROLE, such as `LOGIN`.
    pub fn role(&self, hint: &str, options: &str) -> Role<'_> {
        Role::create(self, hint, options)
    }

    /// How to connect to `database` as the superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        // Without its modules, and cut by us: PostgreSQL warns of a name that it cuts.
        let thread = thread::current();
        let test = thread.name().and_then(|path| path.rsplit("::").next());
        let test: String = test.unwrap_or("test").chars().take(63).collect();
        config
            .host_path(&self.directory)
            .user(SUPERUSER)
            .dbname(database)
            .application_name(&test);
        config.options(STATEMENT_LIMIT);
        config
    }

    /// A connection of the superuser to the database `postgres`, for what concerns the whole server.
    #[track_caller]
    pub fn connect(&self) -> Client {
        match self.config("postgres").connect(NoTls) {
            Ok(client) => client,
            Err(error) => panic!("cannot connect: {error:?}"),
        }
    }

    /// Runs one statement as the superuser in the database `postgres`.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        if let Err(error) = self.connect().batch_execute(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    /// One of PostgreSQL's programs, told by its environment to connect here as the superuser.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bindir.join(name));
        command
            .env("PGHOST", &self.directory)
            .env("PGUSER", SUPERUSER)
            .env("PGDATABASE", "postgres");
        command
    }

    /// The same, run as the operating system's user that the server runs as: for programs that write to the data
    /// directory or make another.
    pub fn command_as_server(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.current_dir(&self.directory);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// Where its programs are.
    pub fn bindir(&self) -> &Path {
        &self.bindir
    }

    /// Its own directory, with the socket in it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the data is.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Everything the server has logged so far, over all its starts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Adds a line to postgresql.conf, where the last line of a name counts. It needs [`Self::reload`] or
    /// [`Self::restart`] to take effect.
    pub fn set(&self, name: &str, value: &str) {
        self.append_settings(&setting_line(name, value));
    }

    /// Has the server read its configuration again. It does so a little later.
    pub fn reload(&self) {
        self.execute("SELECT pg_reload_conf()");
    }

    /// Starts it and waits until it takes connections. Panics, with the end of the log, where it does not.
    pub fn start(&self) {
        let mut postmaster = self.postmaster();
        assert!(postmaster.is_none(), "the server is running already");
        let mut child = self.spawn(&[]);
        wait_for("the server takes connections", DEADLINE, || {
            if let Some(status) = child.try_wait().expect("postgres is waited for") {
                panic!("the server did not start: {status}\n{}", self.log());
            }
            self.config("postgres").connect(NoTls).ok()
        });
        *postmaster = Some(child);
    }

    /// Starts it with these options of `postgres`, with which it is to give up: what it has logged meanwhile.
    #[track_caller]
    pub fn fail_to_start(&self, options: &[&str]) -> String {
        let before = self.log().len();
        let mut child = self.spawn(options);
        let status = wait_for("the start fails", DEADLINE, || {
            child.try_wait().expect("postgres is waited for")
        });
        let log = self.log().split_off(before);
        assert!(!status.success(), "{options:?}: {status}\n{log}");
        log
    }

    /// Starts it with these options of `postgres`, and ends it with a signal as soon as it has logged `said`.
    #[track_caller]
    pub fn start_until(&self, said: &str, signal: &str, options: &[&str]) {
        let before = self.log().len();
        let child = self.spawn(options);
        wait_for(said, DEADLINE, || self.log()[before..].contains(said).then_some(()));
        *self.postmaster() = Some(child);
        self.end(signal);
        wait_for("the server's processes end", DEADLINE, || {
            self.processes().is_empty().then_some(())
        });
        self.remove_empty_lock_files();
    }

    /// A postmaster that is killed while it creates the lock file of its socket, or of its data directory, leaves an empty
    /// one. PostgreSQL does not start with that until somebody removes it.
    fn remove_empty_lock_files(&self) {
        let in_directory = fs::read_dir(&self.directory).expect("the server's directory");
        let sockets = in_directory.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
        let pid_file = self.data_directory().join("postmaster.pid");
        for file in sockets.filter(is_lock).chain([pid_file]) {
            if fs::metadata(&file).is_ok_and(|file| file.len() == 0) {
                fs::remove_file(file).expect("an empty lock file is removed");
            }
        }
    }

    /// Runs statements, one a line, in a single-user server: its answers. What it logs goes to the server's log.
    #[track_caller]
    pub fn single_user(&self, database: &str, statements: &str, options: &[&str]) -> String {
        let mut command = self.command_as_server("postgres");
        command.arg("--single").arg("-D").arg(self.data_directory());
        command.args(options).arg(database);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.log_for_writing());
        let mut child = command.spawn().expect("postgres starts");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(statements.as_bytes()).expect("it reads statements");
        drop(input);
        let output = child.wait_with_output().expect("postgres is waited for");
        assert!(output.status.success(), "{}\n{}", output.status, self.log());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a postmaster, which logs to the server's log.
    fn spawn(&self, options: &[&str]) -> Child {
        let mut command = self.command_as_server("postgres");
        command.arg("-D").arg(self.data_directory()).args(options);
        if self.clock_file().exists() {
            command
                .env("LD_PRELOAD", self.clock_library())
                .env("TEST_CLOCK", self.clock_file());
        }
        command
            .stdin(Stdio::null())
            .stdout(self.log_for_writing())
            .stderr(self.log_for_writing());
        // A process group of its own: Ctrl-C is for the tests, whose end then stops the server.
        command.process_group(0).spawn().expect("postgres starts")
    }

    fn log_for_writing(&self) -> File {
        let mut file = OpenOptions::new();
        file.create(true).append(true);
        file.open(self.log_file()).expect("the server's log")
    }

    /// Sets the clock of a server that has its own, at once for all its processes: so many seconds ahead of the machine's,
    /// or behind it, where negative.
    pub fn set_clock(&self, ahead: i64) {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.clock_file());
        // In place: the file is mapped by those who look at it.
        file.and_then(|file| file.write_all_at(&ahead.to_ne_bytes(), 0))
            .expect("the clock is set");
    }

    fn clock_file(&self) -> PathBuf {
        self.directory.join("clock")
    }

    fn clock_library(&self) -> PathBuf {
        self.directory.join("clock.so")
    }

    fn make_clock(&self) {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/clock.c");
        run(Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .args([&self.clock_library(), &source]));
        self.set_clock(0);
    }

    /// Stops it and waits until it has ended.
    pub fn stop(&self, how: Shutdown) {
        self.end(match how {
            Shutdown::Smart => "TERM",
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        });
    }

    /// Stops it as `how` says and starts it again.
    pub fn restart(&self, how: Shutdown) {
        self.stop(how);
        self.start();
    }

    /// Kills the postmaster with SIGKILL, as the kernel does when memory runs out, and waits until its children
    /// have noticed and ended, so that it can be started again.
    pub fn kill(&self) {
        self.end("KILL");
        wait_for("the killed server's processes end", DEADLINE, || {
            self.processes().is_empty().then_some(())
        });
    }

    /// True while the postmaster lives.
    pub fn is_running(&self) -> bool {
        let mut postmaster = self.postmaster();
        postmaster
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    fn postmaster(&self) -> MutexGuard<'_, Option<Child>> {
        // A test that panicked while holding it leaves nothing half done.
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, signal: &str) {
        let mut postmaster = self.postmaster();
        let mut child = postmaster.take().expect("the server is running");
        run(Command::new("kill").args(["-s", signal, &child.id().to_string()]));
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().expect("postgres is waited for").is_none() {
            if Instant::now() > deadline {
                *postmaster = Some(child);
                panic!("the server did not stop within {DEADLINE:?}\n{}", self.log());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes at work in the data directory.
    fn processes(&self) -> Vec<u32> {
        let data = self.data_directory();
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter(|id: &u32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == data))
            .collect()
    }

    /// Runs a statement that cleans up after a test, where the server still runs. A failure is told, not raised: it
    /// would hide the test's own.
    pub(crate) fn try_cleanup(&self, sql: &str) {
        if !self.is_running() {
            return;
        }
        let done = self
            .config("postgres")
            .connect(NoTls)
            .and_then(|mut client| client.batch_execute(sql));
        if let Err(error) = done {
            eprintln!("cleaning up: {sql}: {error:?}");
        }
    }

    fn append_settings(&self, lines: &str) {
        let file = OpenOptions::new()
            .append(true)
            .open(self.data_directory().join("postgresql.conf"));
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .expect("postgresql.conf is written");
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(4000);
            let tail = log.get(start..).unwrap_or(&log);
            eprintln!("---- the end of the server's log ----\n{tail}");
        }
        if self.is_running() {
            self.end("QUIT");
        }
    }
}

/// The operating system's user that a server started by root runs as.
struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// `None` where this process is not root's: then the server runs as the same user.
    fn current() -> Option<Self> {
        let uid = fs::metadata("/proc/self").expect("/proc").uid();
        (uid == 0).then(|| Self {
            uid: id_of_postgres("-u"),
            gid: id_of_postgres("-g"),
        })
    }
}

fn id_of_postgres(which: &str) -> u32 {
    run(Command::new("id").args([which, "postgres"]))
        .trim()
        .parse()
        .expect("a number from id")
}

/// Where PostgreSQL's programs are.
fn bindir() -> PathBuf {
    let Some(bindir) = env::var_os("SESSION_TIMEOUT_PG_BINDIR") else {
        panic!(
            "SESSION_TIMEOUT_PG_BINDIR is not set: it names the bin directory of a PostgreSQL that has the extension \
             installed. `make test` makes a private one and sets it; to run cargo by hand, first \
             `export SESSION_TIMEOUT_PG_BINDIR=$(scripts/prefix.sh)`."
        );
    };
    let bindir = PathBuf::from(bindir);
    assert!(bindir.join("postgres").is_file(), "no postgres in {}", bindir.display());
    bindir
}

/// A new directory that only the server's user, and root, can enter.
fn make_directory(user: Option<&ServerUser>) -> PathBuf {
    let base = env::var_os("SESSION_TIMEOUT_TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    // Without symbolic links, since the guard compares it with what the kernel says of the postmaster.
    let base = fs::canonicalize(&base).unwrap_or_else(|error| panic!("{}: {error}", base.display()));
    let directory = loop {
        let directory = base.join(unique_name(&format!("session_timeout_{}", process::id())));
        match fs::create_dir(&directory) {
            Ok(()) => break directory,
            // Left by a killed process that had our number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", directory.display()),
        }
    };
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("chmod");
    if let Some(user) = user {
        chown(&directory, Some(user.uid), Some(user.gid)).expect("chown");
    }
    directory
}

fn setting_line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

/// The process that cleans up when this one lets go of the pipe.
struct Guard(Child);

impl Guard {
    /// Waits for the end of the pipe, stops the postmaster if it is the one of this directory (a process id may have
    /// been given to another since), and removes the directory.
    const SCRIPT: &str = r#"
        cat >/dev/null
        pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
        lives() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1/data" ]; }
        lives "$1" && kill -QUIT "$pid"
        tries=0
        while lives "$1" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
        lives "$1" && kill -KILL "$pid"
        rm -rf "$1" || { sleep 1; rm -rf "$1"; }
    "#;

    fn start(directory: &Path) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", Self::SCRIPT, "guard"])
            .arg(directory)
            .current_dir("/");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.process_group(0).spawn().expect("sh starts"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
