//! What an application's role needs, and what it cannot do.

use session_timeout_tests::{Database, Role, shared};

use super::{RELATIONS, login};
use crate::support::{SessionCalls, refusal};

/// The calls that a login, a request and a logout need.
const APPLICATION_CALLS: [&str; 5] = [
    "open_session",
    "check_session",
    "session_verdict",
    "rotate_session",
    "close_session",
];

/// A database, and in it a role with USAGE on the schema and EXECUTE on an application's functions.
fn application() -> (Role<'static>, Database<'static>) {
    let role = login("application");
    let database = shared().database("application");
    database.execute(&format!("GRANT USAGE ON SCHEMA session_timeout TO {}", role.name()));
    for function in APPLICATION_CALLS {
        database.execute(&format!(
            "GRANT EXECUTE ON FUNCTION session_timeout.{function} TO {}",
            role.name()
        ));
    }
    (role, database)
}

#[test]
fn a_role_with_execute_alone_leads_a_session_through_its_life() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    client.open_as("sid", "user");
    assert!(client.check("sid"));
    assert_eq!(client.verdict("sid").user_name.as_deref(), Some("user"));
    assert!(client.rotate("sid", "new"));
    assert!(client.close_sid("new"));
    assert!(!client.check("new"));
}

#[test]
fn a_role_with_execute_alone_touches_a_session() {
    let (role, database) = application();
    let mut superuser = database.connect();
    superuser.open("sid");
    superuser.has_been_idle("sid", "1 hour");
    let before = superuser.stored("sid");
    assert!(database.connect_as(role.name()).check("sid"));
    assert_ne!(superuser.stored("sid"), before);
}

#[test]
fn a_role_with_execute_alone_expires_a_session() {
    let (role, database) = application();
    let mut superuser = database.connect();
    superuser.open("sid");
    superuser.has_been_idle("sid", "3 hours");
    assert!(!database.connect_as(role.name()).check("sid"));
    assert_eq!(superuser.event_kinds("sid"), ["idle_expired"]);
}

#[test]
fn a_role_with_execute_alone_sees_no_table() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    for relation in RELATIONS {
        assert_eq!(
            refusal(&mut client, &format!("SELECT FROM session_timeout.{relation}")),
            "42501",
            "{relation}"
        );
    }
}

#[test]
fn a_role_with_an_applications_functions_cannot_purge_revoke_or_set_parameters() {
    let (role, database) = application();
    let mut client = database.connect_as(role.name());
    for call in [
        "purge_sessions()",
        "close_user_sessions('user')",
        "set_param('key', 'value')",
        "get_param('key')",
    ] {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
    }
}
