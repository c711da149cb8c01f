//! A check on a standby sees what the primary committed once it is replayed.

use session_timeout_tests::param;

use crate::support::{SessionCalls, assert_no_process_broke, catch_up, connect, preloaded, size};

#[test]
fn what_the_primary_commits_counts_on_the_standby_once_it_is_replayed() {
    let primary = preloaded::builder().start();
    let database = primary.database("replay");
    let standby = primary.standby();
    let mut here = database.connect();
    catch_up(&primary, &standby);
    let mut there = connect(&standby, database.name());
    let mut old = connect(&standby, database.name());
    for round in 0..size(20, 300) {
        let sid = format!("sid-{round}");
        here.open_as(&sid, "user");
        catch_up(&primary, &standby);
        assert!(there.check(&sid));
        // A transaction there that has its snapshot.
        old.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
        assert!(old.check(&sid));
        match round % 4 {
            0 => assert!(here.close_sid(&sid)),
            1 => assert_eq!(here.close_user("user"), 1),
            2 => assert!(here.rotate(&sid, &format!("{sid} again"))),
            _ => here.run("TRUNCATE session_timeout.session"),
        }
        if round % 4 == 3 {
            // Replaying a TRUNCATE waits for whoever still holds a lock there.
            old.run("ROLLBACK");
        }
        catch_up(&primary, &standby);
        assert!(
            !there.check(&sid),
            "closed on the primary, valid on the standby (round {round})"
        );
        if round % 4 != 3 {
            assert!(
                !old.check(&sid),
                "valid in an old transaction of the standby (round {round})"
            );
            old.run("ROLLBACK");
        }
        if round % 4 == 2 {
            assert!(there.check(&format!("{sid} again")));
            assert!(here.close_sid(&format!("{sid} again")));
        }
        // After a login it is another session.
        here.open(&sid);
        catch_up(&primary, &standby);
        assert!(there.check(&sid));
        assert!(here.close_sid(&sid));
    }

    // Parameters too, also in a transaction begun before.
    here.open("idle");
    here.has_been_idle("idle", "1 hour");
    catch_up(&primary, &standby);
    assert!(there.peek("idle").valid);
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert!(old.peek("idle").valid);
    here.set_param(param::DELAY, Some("1800"));
    catch_up(&primary, &standby);
    assert_eq!(there.peek("idle").status, "idle_expired");
    assert_eq!(old.peek("idle").status, "idle_expired");
    assert!(!old.check("idle"));
    old.run("ROLLBACK");
    assert_no_process_broke(&standby);
}
