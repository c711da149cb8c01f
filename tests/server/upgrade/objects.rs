//! An update from a release makes the very same objects as a fresh install.

use std::collections::BTreeSet;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, Role, shared};

use super::{database_of, newest, released, version_in};
use crate::support::SessionCalls;

/// Everything that an install script can say of the extension's objects, a line each.
#[track_caller]
pub fn inventory(client: &mut Client) -> BTreeSet<String> {
    // Names of types, functions and the like in full, whatever the search path.
    client.run("SET search_path = pg_catalog");
    let facts = match client.query(include_str!("inventory.sql"), &[]) {
        Ok(facts) => facts,
        Err(error) => panic!("the inventory: {error:?}"),
    };
    let line = |row: &session_timeout_tests::postgres::Row| {
        let value: Option<String> = row.get("value");
        let (object, property): (String, String) = (row.get("object"), row.get("property"));
        format!("{object}: {property} {}", value.unwrap_or_default())
    };
    // OIDs are in the names of TOAST tables only, and those are PostgreSQL's.
    let lines: BTreeSet<String> = facts
        .iter()
        .map(line)
        .filter(|line| !line.contains("pg_toast"))
        .collect();
    assert!(lines.len() > 500, "the inventory has everything: {}", lines.len());
    lines
}

/// What differs, for a person: what the fresh install alone has, and what the update alone has.
pub fn difference(fresh: &BTreeSet<String>, updated: &BTreeSet<String>) -> Vec<String> {
    let missing = fresh.difference(updated).map(|line| format!("forgotten:  {line}"));
    let surplus = updated.difference(fresh).map(|line| format!("left over:  {line}"));
    missing.chain(surplus).collect()
}

/// Updates to the newest version, as the role that `client` is of.
#[track_caller]
fn update(client: &mut Client) {
    client.run("ALTER EXTENSION inactive_session_timeout UPDATE");
    assert_eq!(version_in(client), newest());
}

#[test]
fn an_update_makes_what_a_fresh_install_makes() {
    let fresh = inventory(&mut shared().database("fresh").connect());
    for version in released() {
        let database = database_of(shared(), &version);
        let mut client = database.connect();
        update(&mut client);
        let differences = difference(&fresh, &inventory(&mut client));
        assert!(differences.is_empty(), "from {version}:\n{}", differences.join("\n"));
    }
}

/// A database of `owner`'s own, with the extension created by `owner`.
#[track_caller]
fn database_owned_by(owner: &Role, version: &str) -> Database<'static> {
    let builder = shared().database_builder("owned");
    let database = builder.owner(owner.name()).without_extension().create();
    let sql = format!("CREATE EXTENSION inactive_session_timeout VERSION '{version}'");
    database.connect_as(owner.name()).run(&sql);
    database
}

#[test]
fn an_update_by_an_owner_who_is_no_superuser_makes_what_a_fresh_install_makes() {
    let owner = shared().role("owner", "LOGIN NOSUPERUSER");
    let fresh = inventory(&mut database_owned_by(&owner, newest()).connect());
    for version in released() {
        let database = database_owned_by(&owner, &version);
        update(&mut database.connect_as(owner.name()));
        let differences = difference(&fresh, &inventory(&mut database.connect()));
        assert!(differences.is_empty(), "from {version}:\n{}", differences.join("\n"));
    }
}

/// What an update script may forget or do wrong, each undone here after a fresh install.
const MISTAKES: [&str; 18] = [
    "COMMENT ON FUNCTION session_timeout.peek_session(text) IS NULL",
    "COMMENT ON COLUMN session_timeout.stat_worker.failures IS 'other words'",
    "COMMENT ON INDEX session_timeout.session_user_name_idx IS NULL",
    "REVOKE EXECUTE ON FUNCTION session_timeout.worker_state(oid) FROM pg_monitor",
    "REVOKE GRANT OPTION FOR SELECT ON session_timeout.stat_worker FROM pg_database_owner",
    "GRANT EXECUTE ON FUNCTION session_timeout.purge_sessions() TO PUBLIC",
    "GRANT SELECT (digest) ON session_timeout.session TO pg_monitor",
    "ALTER FUNCTION session_timeout.session_digest(text) PARALLEL UNSAFE",
    "ALTER FUNCTION session_timeout.check_session(text, text) COST 10",
    "ALTER FUNCTION session_timeout.check_session(text, text) SET search_path = pg_catalog",
    "ALTER TABLE session_timeout.session RESET (fillfactor)",
    "ALTER TABLE session_timeout.session DISABLE TRIGGER session_after_delete",
    "ALTER TABLE session_timeout.session DROP CONSTRAINT session_user_name_length",
    "ALTER TABLE session_timeout.session ALTER COLUMN opened_at DROP DEFAULT",
    "ALTER SEQUENCE session_timeout.config_parameter_id_seq OWNED BY NONE",
    "ALTER EXTENSION inactive_session_timeout DROP SEQUENCE session_timeout.session_version_seq",
    "UPDATE pg_extension SET extcondition = ARRAY[''] WHERE extname = 'inactive_session_timeout'",
    "DELETE FROM session_timeout.config_parameter WHERE key LIKE '%retention'",
];

#[test]
fn the_comparison_notices_what_an_update_script_can_forget() {
    let database = shared().database("compared");
    let mut client = database.connect();
    let fresh = inventory(&mut client);
    for mistake in MISTAKES {
        client.run(&format!("BEGIN; {mistake}"));
        let differences = difference(&fresh, &inventory(&mut client));
        assert!(!differences.is_empty(), "{mistake}");
        client.run("ROLLBACK");
    }
    assert_eq!(difference(&fresh, &inventory(&mut client)), [""; 0]);
}
