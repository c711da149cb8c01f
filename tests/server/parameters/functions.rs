//! `set_param` and `get_param`.

use session_timeout_tests::param;

use super::without_rows;
use crate::support::{SessionCalls, app, own_database, parameter_value};

#[test]
fn set_param_returns_the_old_value() {
    let database = own_database();
    let mut admin = database.connect();
    assert_eq!(admin.set_param(param::DELAY, Some("60")).as_deref(), Some("7200"));
}

#[test]
fn set_param_of_a_key_without_a_row_returns_null() {
    let database = own_database();
    assert_eq!(database.connect().set_param("mine", Some("x")), None);
}

#[test]
fn set_param_writes_the_value() {
    let database = own_database();
    let mut admin = database.connect();
    for value in ["first", "second"] {
        admin.set_param("mine", Some(value));
        assert_eq!(parameter_value(&mut admin, "mine").as_deref(), Some(value));
    }
}

#[test]
fn set_param_to_null_deletes_the_row() {
    let database = own_database();
    let mut admin = database.connect();
    admin.set_param(param::DELAY, None);
    assert_eq!(parameter_value(&mut admin, param::DELAY), None);
}

#[test]
fn set_param_to_null_returns_the_old_value() {
    let database = own_database();
    assert_eq!(
        database.connect().set_param(param::DELAY, None).as_deref(),
        Some("7200")
    );
}

#[test]
fn set_param_to_null_of_a_key_without_a_row_returns_null() {
    assert_eq!(app().set_param("never set", None), None);
}

#[test]
fn get_param_returns_the_rows_value() {
    let value: String = app().value("SELECT session_timeout.get_param($1, 'another')", &[&param::DELAY]);
    assert_eq!(value, "7200");
}

#[test]
fn get_param_of_a_key_without_a_row_returns_the_default_value_given() {
    let value: String = app().value("SELECT session_timeout.get_param('never set', 'given')", &[]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_of_a_key_without_a_row_returns_null_where_no_default_is_given() {
    let value: Option<String> = app().value("SELECT session_timeout.get_param('never set')", &[]);
    assert_eq!(value, None);
}

#[test]
fn get_param_of_one_of_our_keys_without_a_row_returns_the_default_value_given() {
    let (_database, mut app, _) = without_rows();
    let value: String = app.value("SELECT session_timeout.get_param($1, 'given')", &[&param::DELAY]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_of_a_null_key_returns_the_default_value_given() {
    let value: String = app().value("SELECT session_timeout.get_param(NULL, 'given')", &[]);
    assert_eq!(value, "given");
}

#[test]
fn get_param_returns_an_empty_value_as_it_is() {
    let database = own_database();
    let mut admin = database.connect();
    admin.set_param("mine", Some(""));
    let value: String = admin.value("SELECT session_timeout.get_param('mine', 'given')", &[]);
    assert_eq!(value, "");
}
