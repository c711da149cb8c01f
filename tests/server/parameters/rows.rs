//! The rows of parameters: dates, and inserts over what was seeded.

use session_timeout_tests::{error_of, param};

use super::{INSERT, SET_PARAM, UPDATE};
use crate::support::{SessionCalls, assert_just_now, own_database, parameter_value};

#[test]
fn a_write_is_dated() {
    for way in [UPDATE.change, SET_PARAM.change] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(way);
        let sql = "SELECT write_date FROM session_timeout.config_parameter WHERE key = $1";
        assert_just_now(admin.value(sql, &[&param::DELAY]));
    }
}

#[test]
fn a_new_row_is_dated() {
    for way in [
        "INSERT INTO session_timeout.config_parameter (key, value) VALUES ('mine', 'x')",
        "SELECT session_timeout.set_param('mine', 'x')",
    ] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(way);
        let sql = "SELECT create_date FROM session_timeout.config_parameter WHERE key = 'mine'";
        assert_just_now(admin.value(sql, &[]));
    }
}

#[test]
fn an_inserted_row_replaces_a_seeded_one_that_nobody_has_edited() {
    let database = own_database();
    let mut admin = database.connect();
    admin.run(INSERT.change);
    assert_eq!(parameter_value(&mut admin, param::DELAY).as_deref(), Some("3600"));
}

#[test]
fn an_inserted_row_does_not_replace_one_that_somebody_has_edited() {
    for edit in [UPDATE.change, SET_PARAM.change] {
        let database = own_database();
        let mut admin = database.connect();
        admin.run(edit);
        assert_eq!(error_of(admin.batch_execute(INSERT.change)).sqlstate, "23505", "{edit}");
    }
}

#[test]
fn an_insert_on_conflict_do_update_writes_the_value_over_any_row() {
    let database = own_database();
    let mut admin = database.connect();
    for value in ["60", "90"] {
        admin.write(
            "INSERT INTO session_timeout.config_parameter (key, value) VALUES ($1, $2) \
             ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value",
            &[&param::DELAY, &value],
        );
        assert_eq!(parameter_value(&mut admin, param::DELAY).as_deref(), Some(value));
    }
}
