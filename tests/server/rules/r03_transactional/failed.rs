//! Transactions that have failed, and errors that were caught.

use session_timeout_tests::error_of;

use crate::support::{SessionCalls, app, new_sid};

#[test]
fn in_a_failed_transaction_a_check_is_refused_as_any_query() {
    let (mut app, sid) = (app(), new_sid());
    app.open(&sid);
    let check = app
        .prepare("SELECT session_timeout.check_session($1)")
        .expect("prepared");
    app.run("BEGIN");
    error_of(app.batch_execute("SELECT 1 / 0"));
    assert_eq!(error_of(app.query_one(&check, &[&sid])).sqlstate, "25P02");
    app.run("ROLLBACK");
    assert!(app.check(&sid), "the session is as before");
}

#[test]
fn an_error_of_ours_undoes_what_its_transaction_did() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    error_of(app.execute("SELECT session_timeout.open_session('')", &[]));
    app.run("ROLLBACK");
    assert!(!app.check(&sid));
}

#[test]
fn an_error_of_ours_that_is_caught_leaves_the_rest_of_the_transaction() {
    let (mut app, sid) = (app(), new_sid());
    app.run("BEGIN");
    app.open(&sid);
    app.run(
        "DO $$ BEGIN PERFORM session_timeout.open_session(''); EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$",
    );
    app.run("COMMIT");
    assert!(app.check(&sid));
}
