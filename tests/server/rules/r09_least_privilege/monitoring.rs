//! What a role with pg_monitor may read.

use session_timeout_tests::{error_of, shared};

use super::{CALLS, RELATIONS};
use crate::support::preloaded::{self, QUIET};
use crate::support::{SessionCalls, own_database, refusal};

#[test]
fn a_monitoring_role_reads_the_two_statistics_views_and_no_more() {
    let role = shared().role("monitor", "LOGIN IN ROLE pg_monitor");
    let database = own_database();
    let mut client = database.connect_as(role.name());
    for view in ["stat_session_timeout", "stat_worker"] {
        client.run(&format!("SELECT * FROM session_timeout.{view}"));
    }
    for relation in &RELATIONS[..4] {
        assert_eq!(
            refusal(&mut client, &format!("SELECT FROM session_timeout.{relation}")),
            "42501",
            "{relation}"
        );
    }
    for call in CALLS
        .iter()
        .filter(|call| !["counters()", "worker_state(0)"].contains(call))
    {
        assert_eq!(
            refusal(&mut client, &format!("SELECT session_timeout.{call}")),
            "42501",
            "{call}"
        );
    }
}

#[test]
fn figures_are_for_pg_monitor_and_for_nobody_else() {
    let monitor = preloaded::server().role("monitor", "LOGIN IN ROLE pg_monitor");
    let nobody = preloaded::server().role("nobody", "LOGIN");
    let database = preloaded::database("monitored", &QUIET);
    for view in ["stat_session_timeout", "stat_worker"] {
        let sql = format!("SELECT count(*) FROM session_timeout.{view}");
        assert!(
            database.connect_as(monitor.name()).value::<i64>(&sql, &[]) >= 1,
            "{view}"
        );
        let error = error_of(database.connect_as(nobody.name()).query_one(&sql, &[]));
        assert_eq!(error.sqlstate, "42501", "{view}");
    }
    let error = error_of(
        database
            .connect_as(monitor.name())
            .query("SELECT FROM session_timeout.active_session", &[]),
    );
    assert_eq!(error.sqlstate, "42501");
}
