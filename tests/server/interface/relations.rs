//! Types, tables and views: columns, indexes, triggers.

use super::texts;
use crate::support::app;

/// The columns of a table, view or row type, each with its type.
#[track_caller]
fn columns(of: &str) -> Vec<String> {
    texts(
        &mut app(),
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        &[&format!("session_timeout.{of}")],
    )
}

#[test]
fn a_verdict_has_the_documented_columns() {
    let expected = [
        "valid boolean",
        "status text",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "expires_at timestamp with time zone",
        "expires_in interval",
        "warn boolean",
    ];
    assert_eq!(columns("verdict"), expected);
}

#[test]
fn config_parameter_has_the_columns_of_odoos_table() {
    let expected = [
        "id integer",
        "key text",
        "value text",
        "create_uid integer",
        "create_date timestamp with time zone",
        "write_uid integer",
        "write_date timestamp with time zone",
    ];
    assert_eq!(columns("config_parameter"), expected);
}

#[test]
fn session_has_the_documented_columns() {
    let expected = [
        "digest bytea",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "idle_delay interval",
        "absolute_delay interval",
        "version bigint",
    ];
    assert_eq!(columns("session"), expected);
}

#[test]
fn session_event_has_the_documented_columns() {
    let expected = [
        "id bigint",
        "at timestamp with time zone",
        "digest bytea",
        "user_name text",
        "kind text",
        "last_activity timestamp with time zone",
    ];
    assert_eq!(columns("session_event"), expected);
}

#[test]
fn active_session_shows_whose_session_it_is_and_when_it_ends() {
    let expected = [
        "digest bytea",
        "user_name text",
        "opened_at timestamp with time zone",
        "last_activity timestamp with time zone",
        "expires_at timestamp with time zone",
        "expires_in interval",
        "warn boolean",
    ];
    assert_eq!(columns("active_session"), expected);
}

#[test]
fn the_digest_is_the_primary_key_of_session() {
    let key = texts(
        &mut app(),
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint \
         WHERE conrelid = 'session_timeout.session'::regclass AND contype = 'p'",
        &[],
    );
    assert_eq!(key, ["PRIMARY KEY (digest)"]);
}

#[test]
fn no_index_contains_activity() {
    let indexes = texts(
        &mut app(),
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'session_timeout' AND indexdef LIKE '%last_activity%'",
        &[],
    );
    assert_eq!(indexes, [""; 0]);
}

#[test]
fn every_trigger_fires_in_every_replication_role() {
    let enabled = texts(
        &mut app(),
        "SELECT DISTINCT tgenabled::text FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid \
         WHERE relnamespace = 'session_timeout'::regnamespace AND NOT tgisinternal",
        &[],
    );
    assert_eq!(enabled, ["A"]);
}
