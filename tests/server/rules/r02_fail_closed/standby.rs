//! A database that is created again under the same OID, on a standby.

use session_timeout_tests::chrono::{TimeDelta, Utc};
use session_timeout_tests::postgres::Client;

use crate::support::{SessionCalls, catch_up, connect, preloaded};

/// A standby replays a drop unnoticed.
#[test]
fn a_new_database_with_the_oid_of_a_dropped_one_has_none_of_its_activity() {
    let primary = preloaded::builder().start();
    primary.execute("CREATE DATABASE template_of_app");
    let mut client = connect(&primary, "template_of_app");
    client.run("CREATE EXTENSION inactive_session_timeout");
    client.open("everywhere");
    client.has_been_idle("everywhere", "1 hour");
    drop(client);
    let standby = primary.standby();
    let make = || {
        primary.execute("CREATE DATABASE app TEMPLATE template_of_app OID = 70000");
        catch_up(&primary, &standby);
    };
    let idle = |client: &mut Client| {
        let used = client.peek("everywhere").last_activity.expect("activity");
        Utc::now() - used
    };
    make();
    let mut there = connect(&standby, "app");
    assert!(there.check("everywhere"));
    assert!(idle(&mut there) < TimeDelta::minutes(30));
    drop(there);
    primary.execute("DROP DATABASE app");
    make();
    let mut there = connect(&standby, "app");
    assert!(idle(&mut there) > TimeDelta::minutes(59), "used in the old database");
    assert!(there.check("everywhere"));
    let mut other = connect(&standby, "app");
    assert!(
        idle(&mut other) < TimeDelta::minutes(30),
        "what is seen in the new one is kept"
    );
}
