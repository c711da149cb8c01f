//! Another transaction has written the row since the caller's snapshot.

use crate::support::{InFlight, SNAPSHOT_LEVELS, SessionCalls, app, begin, new_sid, try_call, unique};

#[test]
fn a_login_with_an_old_snapshot_does_not_fail_after_a_write_of_others() {
    let changes = [
        (
            "changed",
            "UPDATE session_timeout.session SET last_activity = now() WHERE digest = ",
        ),
        ("deleted", "DELETE FROM session_timeout.session WHERE digest = "),
    ];
    for (what, statement) in changes {
        for level in SNAPSHOT_LEVELS {
            let (mut old, mut other) = (app(), app());
            let sid = new_sid();
            other.open_as(&sid, "before");
            begin(&mut old, level);
            other.write(&format!("{statement} session_timeout.session_digest($1)"), &[&sid]);
            old.open_as(&sid, "after");
            old.run("COMMIT");
            let row = other.stored(&sid).expect("a row");
            assert_eq!(row.user_name.as_deref(), Some("after"), "{what}, {level}");
        }
    }
}

#[test]
fn a_close_with_an_old_snapshot_does_not_fail_after_a_write_of_others() {
    for level in SNAPSHOT_LEVELS {
        let (mut old, mut other) = (app(), app());
        let sid = new_sid();
        other.open(&sid);
        begin(&mut old, level);
        other.has_been_idle(&sid, "1 hour");
        assert!(old.close_sid(&sid), "{level}");
        old.run("COMMIT");
    }
}

#[test]
fn a_close_with_an_old_snapshot_waits_for_a_write_by_hand_and_closes() {
    for level in SNAPSHOT_LEVELS {
        let (mut old, mut other, mut observer) = (app(), app(), app());
        let sid = new_sid();
        other.open(&sid);
        begin(&mut old, level);
        other.run("BEGIN");
        other.has_been_idle(&sid, "1 hour");
        let closing = InFlight::start(old, {
            let sid = sid.clone();
            move |old| {
                let was_open = try_call(old, &format!("close_session('{sid}')"));
                old.run("COMMIT");
                was_open
            }
        });
        closing.is_waiting(&mut observer);
        other.run("COMMIT");
        assert_eq!(closing.answer(), Ok(true), "{level}");
        assert!(!observer.check(&sid), "{level}");
    }
}

#[test]
fn a_rotation_with_an_old_snapshot_does_not_fail_after_a_write_of_others() {
    for level in SNAPSHOT_LEVELS {
        let (mut old_snapshot, mut other) = (app(), app());
        let (old, new) = (new_sid(), new_sid());
        other.open(&old);
        begin(&mut old_snapshot, level);
        other.has_been_idle(&old, "1 hour");
        assert_eq!(
            try_call(&mut old_snapshot, &format!("rotate_session('{old}', '{new}')")),
            Ok(true),
            "{level}"
        );
        old_snapshot.run("COMMIT");
        let idle: f64 = other.value(
            "SELECT extract(epoch FROM now() - last_activity)::float8 FROM session_timeout.session
             WHERE digest = session_timeout.session_digest($1)",
            &[&new],
        );
        assert!(idle > 3500.0, "{level}: the newest activity moves along");
    }
}

#[test]
fn an_old_snapshot_does_not_hide_a_login_from_a_revocation() {
    let (mut login, mut revoker) = (app(), app());
    let (sid, user) = (new_sid(), unique("user"));
    begin(&mut revoker, "REPEATABLE READ");
    login.open_as(&sid, &user);
    assert_eq!(revoker.close_user(&user), 1);
    revoker.run("COMMIT");
    assert!(!login.check(&sid));
}
