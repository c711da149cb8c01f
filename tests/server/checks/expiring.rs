//! Expiry is final.

use session_timeout_tests::param;

use crate::support::{SessionCalls, app, new_sid, own_database};

#[test]
fn expired_is_final_even_if_the_delay_is_raised() {
    let database = own_database();
    let (mut app, sid) = (database.connect(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    assert!(!app.check(&sid));
    database.set_params(&[(param::DELAY, "1 day")]);
    assert!(!app.check(&sid));
}

#[test]
fn an_expired_session_is_valid_again_after_a_login() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    app.open(&sid);
    assert!(app.check(&sid));
}

#[test]
fn the_row_of_an_expired_session_is_deleted() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    app.check(&sid);
    assert_eq!(app.stored(&sid), None);
}

#[test]
fn without_preload_a_rollback_undoes_an_expiry() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "3 hours");
    let before = app.stored(&sid);
    app.run("BEGIN");
    assert!(!app.check(&sid));
    app.run("ROLLBACK");
    assert_eq!(app.stored(&sid), before);
}

#[test]
fn without_preload_a_rollback_undoes_a_touch() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    app.has_been_idle(&sid, "1 hour");
    let before = app.stored(&sid);
    app.run("BEGIN");
    app.check(&sid);
    app.run("ROLLBACK");
    assert_eq!(app.stored(&sid), before);
}
