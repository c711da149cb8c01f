//! pg_dump and restore: parameters are carried over, sessions are left behind.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use session_timeout_tests::{Database, Role, param, run, shared};

use crate::support::SessionCalls;

/// How a database is dumped and restored.
#[derive(Clone, Copy, Debug)]
enum Format {
    /// SQL for psql.
    Plain,
    /// An archive for pg_restore.
    Custom,
}

/// A dump's file, removed at the end.
struct Dump {
    format: Format,
    file: PathBuf,
}

impl Dump {
    /// Dumps `database` as `user`.
    fn of(database: &Database, user: &str, format: Format) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dump = Self {
            format,
            file: env::temp_dir().join(format!("session_timeout_{}_{number}.dump", process::id())),
        };
        let format = match format {
            Format::Plain => "--format=plain",
            Format::Custom => "--format=custom",
        };
        run(database
            .program("pg_dump")
            .env("PGUSER", user)
            .arg(format)
            .arg("-f")
            .arg(&dump.file));
        dump
    }

    /// Restores it into `database` as `user`; any error ends the test.
    fn restore(&self, database: &Database, user: &str) {
        let mut command = match self.format {
            Format::Plain => {
                let mut psql = database.program("psql");
                psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]);
                psql
            }
            Format::Custom => {
                let mut pg_restore = database.program("pg_restore");
                pg_restore.args(["--exit-on-error", "-d", database.name()]);
                pg_restore
            }
        };
        run(command.env("PGUSER", user).arg(&self.file));
    }

    /// The dump as text, without what differs from one run of pg_dump to the next.
    fn text(&self) -> String {
        let text = fs::read_to_string(&self.file).expect("the dump");
        let is_same = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
        text.lines().filter(is_same).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// A database of `owner`'s own in which the parameters have been edited, and sessions and events are.
fn edited_database(owner: &Role) -> Database<'static> {
    let database = shared()
        .database_builder("dumped")
        .owner(owner.name())
        .without_extension()
        .create();
    let mut client = database.connect_as(owner.name());
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.set_param(param::DELAY, Some("15 minutes"));
    client.set_param(param::WARNING, None);
    client.set_param("other.key", Some("other value"));
    client.run(
        "UPDATE session_timeout.config_parameter SET value = '/a,/b', write_uid = 7
         WHERE key = 'inactive_session_time_out_ignored_url'",
    );
    client.open("open");
    client.open("closed");
    client.close_sid("closed");
    database
}

/// A database of `owner`'s with nothing in it.
fn empty_database(owner: &Role) -> Database<'static> {
    shared()
        .database_builder("restored")
        .owner(owner.name())
        .without_extension()
        .create()
}

fn owner() -> Role<'static> {
    shared().role("owner", "LOGIN NOSUPERUSER")
}

/// An edited database, and what dumps of it were restored into.
struct Copies {
    original: Database<'static>,
    /// Each with how it came about.
    copies: Vec<(String, Database<'static>)>,
}

/// Copies by dump and restore, by a superuser and by the owner, in each format. Tests share them, and roll back what they
/// change.
fn copies() -> &'static Copies {
    static COPIES: OnceLock<Copies> = OnceLock::new();
    static OWNER: OnceLock<Role<'static>> = OnceLock::new();
    COPIES.get_or_init(|| {
        let owner = OWNER.get_or_init(owner);
        let original = edited_database(owner);
        let ways = ["postgres", owner.name()].map(|user| [(user, Format::Plain), (user, Format::Custom)]);
        let copy = |(user, format)| {
            let copy = empty_database(owner);
            Dump::of(&original, user, format).restore(&copy, user);
            (format!("{format:?} by {user}"), copy)
        };
        let copies = ways.into_iter().flatten().map(copy).collect();
        Copies { original, copies }
    })
}

/// Hands each copy to `test`, and how it came about.
fn for_each_copy(test: fn(&Database, &str)) {
    for (way, copy) in &copies().copies {
        test(copy, way);
    }
}

/// The value of a parameter's row, `None` where there is none.
fn stored_value(database: &Database, key: &str) -> Option<String> {
    let mut client = database.connect();
    client.value("SELECT session_timeout.get_param($1)", &[&key])
}

#[test]
fn a_restored_database_has_the_edited_parameters_and_the_other_keys() {
    for_each_copy(|copy, way| {
        assert_eq!(stored_value(copy, param::DELAY).as_deref(), Some("15 minutes"), "{way}");
        assert_eq!(
            stored_value(copy, param::IGNORED_URL).as_deref(),
            Some("/a,/b"),
            "{way}"
        );
        assert_eq!(stored_value(copy, "other.key").as_deref(), Some("other value"), "{way}");
    });
}

#[test]
fn a_restored_database_has_the_defaults_of_unedited_and_deleted_parameters() {
    for_each_copy(|copy, way| {
        assert_eq!(
            stored_value(copy, param::EVENT_RETENTION).as_deref(),
            Some("30 days"),
            "{way}"
        );
        assert_eq!(stored_value(copy, param::WARNING).as_deref(), Some("300"), "{way}");
    });
}

#[test]
fn a_restored_database_has_one_row_for_each_key() {
    for_each_copy(|copy, way| {
        let rows: i64 = copy
            .connect()
            .value("SELECT count(*) FROM session_timeout.config_parameter", &[]);
        assert_eq!(
            rows,
            param::DEFAULTS.len() as i64 + 1,
            "{way}: the parameters and another key"
        );
    });
}

#[test]
fn a_restored_database_has_the_edited_rows_as_they_were() {
    for_each_copy(|copy, way| {
        let edited = "SELECT string_agg(concat_ws('|', key, value, create_uid, create_date, write_uid, write_date), ';'
                          ORDER BY key) FROM session_timeout.config_parameter WHERE write_date IS NOT NULL";
        let (before, after): (String, String) = (
            copies().original.connect().value(edited, &[]),
            copy.connect().value(edited, &[]),
        );
        assert_eq!(after, before, "{way}");
    });
}

#[test]
fn a_restored_database_has_no_sessions_and_no_events() {
    for_each_copy(|copy, way| {
        let left: i64 = copy.connect().value(
            "SELECT (SELECT count(*) FROM session_timeout.session) + (SELECT count(*) FROM session_timeout.session_event)",
            &[],
        );
        assert_eq!(left, 0, "{way}");
        assert!(!copy.connect().check("open"), "{way}");
    });
}

#[test]
fn a_restored_database_works_by_its_parameters() {
    for_each_copy(|copy, way| {
        let mut client = copy.connect();
        client.run("BEGIN");
        client.open("sid");
        assert_eq!(client.verdict_url("sid", "/a").status, "ignored", "{way}");
        client.has_been_idle("sid", "16 minutes");
        assert!(!client.check("sid"), "{way}");
    });
}

#[test]
fn a_restored_database_takes_new_keys_beside_the_ids_that_it_was_given() {
    for_each_copy(|copy, way| {
        let mut client = copy.connect();
        client.run("BEGIN");
        client.set_param("new.key", Some("1"));
        client.run("INSERT INTO session_timeout.config_parameter (key, value) VALUES ('newer.key', '2')");
        let stored: String = client.value("SELECT session_timeout.get_param('newer.key')", &[]);
        assert_eq!(stored, "2", "{way}");
    });
}

#[test]
fn an_id_of_the_dump_that_a_seeded_row_has_does_no_harm() {
    let owner = owner();
    let original = edited_database(&owner);
    let parameters = param::DEFAULTS.len() as i64;
    original.execute(&format!(
        "DELETE FROM session_timeout.config_parameter WHERE id <= {parameters};
         INSERT INTO session_timeout.config_parameter (id, key, value)
             SELECT n, 'key' || n, 'value' FROM generate_series(1, {parameters}) AS n",
    ));
    let copy = empty_database(&owner);
    Dump::of(&original, owner.name(), Format::Plain).restore(&copy, owner.name());
    let rows: i64 = copy
        .connect()
        .value("SELECT count(DISTINCT id) FROM session_timeout.config_parameter", &[]);
    assert_eq!(
        rows,
        2 * parameters + 1,
        "the parameters, as many keys, and the other one"
    );
    assert_eq!(stored_value(&copy, "key1").as_deref(), Some("value"));
    assert_eq!(stored_value(&copy, param::DELAY).as_deref(), Some("7200"));
}

#[test]
fn a_dump_of_a_restored_database_is_the_same() {
    let owner = owner();
    let original = edited_database(&owner);
    let first = Dump::of(&original, owner.name(), Format::Plain);
    let copy = empty_database(&owner);
    first.restore(&copy, owner.name());
    assert_eq!(Dump::of(&copy, owner.name(), Format::Plain).text(), first.text());
}

#[test]
fn a_dump_holds_no_session() {
    let owner = owner();
    let original = edited_database(&owner);
    let digest: String = original
        .connect()
        .value("SELECT encode(session_timeout.session_digest('open'), 'hex')", &[]);
    let dump = Dump::of(&original, "postgres", Format::Plain);
    assert!(!dump.text().contains(&digest));
    assert!(dump.text().contains("other value"), "it holds the parameters");
}

#[test]
fn a_restore_by_rows_that_insert_replaces_the_seeded_rows_too() {
    let owner = owner();
    let original = edited_database(&owner);
    let copy = empty_database(&owner);
    let sql = run(original
        .program("pg_dump")
        .env("PGUSER", owner.name())
        .arg("--column-inserts"));
    copy.connect_as(owner.name()).run(
        &sql.lines()
            .filter(|line| !line.starts_with('\\'))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    assert_eq!(stored_value(&copy, param::DELAY).as_deref(), Some("15 minutes"));
}

#[test]
fn a_restore_that_drops_first_leaves_what_the_dump_says() {
    let owner = owner();
    let original = edited_database(&owner);
    let dump = Dump::of(&original, owner.name(), Format::Custom);
    let mut pg_restore = original.program("pg_restore");
    original.connect().set_param(param::DELAY, Some("1 minute"));
    pg_restore
        .env("PGUSER", owner.name())
        .args(["--clean", "--if-exists", "--exit-on-error", "-d", original.name()]);
    run(pg_restore.arg(&dump.file));
    assert_eq!(stored_value(&original, param::DELAY).as_deref(), Some("15 minutes"));
}

#[test]
fn what_an_application_was_granted_is_restored() {
    let (owner, application) = (owner(), shared().role("application", "LOGIN"));
    let original = edited_database(&owner);
    original.execute(&format!(
        "GRANT USAGE ON SCHEMA session_timeout TO {0};
         GRANT EXECUTE ON FUNCTION session_timeout.check_session TO {0}",
        application.name()
    ));
    let copy = empty_database(&owner);
    Dump::of(&original, "postgres", Format::Plain).restore(&copy, "postgres");
    assert!(!copy.connect_as(application.name()).check("sid"));
}
