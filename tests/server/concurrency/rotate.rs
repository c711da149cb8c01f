//! `rotate_session` against another transaction on the same sessions.

use session_timeout_tests::ServerError;

use crate::support::{InFlight, SNAPSHOT_LEVELS, SessionCalls, all_at_once, app, begin, new_sid, try_call};

#[test]
fn a_close_of_the_old_session_waits_for_a_rotation_and_spares_the_new_one() {
    for level in SNAPSHOT_LEVELS {
        let (mut rotator, mut closer, mut observer) = (app(), app(), app());
        let (old, new) = (new_sid(), new_sid());
        rotator.open(&old);
        begin(&mut closer, level);
        begin(&mut rotator, level);
        assert!(rotator.rotate(&old, &new));
        let closing = InFlight::start(closer, move |closer| {
            try_call(closer, &format!("close_session('{old}')"))
        });
        closing.is_waiting(&mut observer);
        rotator.run("COMMIT");
        assert_eq!(closing.answer(), Ok(false), "{level}");
        assert!(observer.check(&new), "{level}");
    }
}

#[test]
fn a_rotation_waits_for_a_close_in_flight_and_finds_nothing_to_rotate() {
    for level in SNAPSHOT_LEVELS {
        let (mut rotator, mut closer, mut observer) = (app(), app(), app());
        let (old, new) = (new_sid(), new_sid());
        closer.open(&old);
        begin(&mut rotator, level);
        closer.run("BEGIN");
        assert!(closer.close_sid(&old));
        let rotating = InFlight::start(rotator, {
            let call = format!("rotate_session('{old}', '{new}')");
            move |rotator| try_call(rotator, &call)
        });
        rotating.is_waiting(&mut observer);
        closer.run("COMMIT");
        assert_eq!(rotating.answer(), Ok(false), "{level}");
        assert!(!observer.check(&new), "{level}");
    }
}

#[test]
fn a_close_and_a_rotation_that_race_never_both_win() {
    for round in 0..25 {
        let (old, new) = (new_sid(), new_sid());
        let mut observer = app();
        observer.open(&old);
        let won = all_at_once([app(), app()], {
            let new = new.clone();
            let old = old.clone();
            move |client, n| match n {
                0 => client.close_sid(&old),
                _ => client.rotate(&old, &new),
            }
        });
        let (closed, rotated) = (won[0], won[1]);
        assert_ne!(closed, rotated, "round {round}");
        assert_eq!(observer.check(&new), rotated, "round {round}");
        assert!(!observer.check(&old), "round {round}");
    }
}

#[test]
fn the_second_of_two_rotations_of_one_session_finds_nothing_to_rotate() {
    for level in SNAPSHOT_LEVELS {
        let (mut first, mut second, mut observer) = (app(), app(), app());
        let old = new_sid();
        first.open(&old);
        begin(&mut first, level);
        begin(&mut second, level);
        assert!(first.rotate(&old, &new_sid()));
        let rotating = InFlight::start(second, {
            let call = format!("rotate_session('{old}', '{}')", new_sid());
            move |second| try_call(second, &call)
        });
        rotating.is_waiting(&mut observer);
        first.run("COMMIT");
        assert_eq!(rotating.answer(), Ok(false), "{level}");
    }
}

#[test]
fn the_second_of_two_rotations_to_one_session_waits_and_is_refused() {
    for level in SNAPSHOT_LEVELS {
        let (mut first, mut second, mut observer) = (app(), app(), app());
        let (one, other, new) = (new_sid(), new_sid(), new_sid());
        first.open(&one);
        first.open(&other);
        begin(&mut first, level);
        begin(&mut second, level);
        assert!(first.rotate(&one, &new));
        let rotating = InFlight::start(second, {
            let call = format!("rotate_session('{other}', '{new}')");
            move |second| {
                let rotated = try_call(second, &call);
                second.run("ROLLBACK");
                rotated
            }
        });
        rotating.is_waiting(&mut observer);
        first.run("COMMIT");
        assert_eq!(rotating.answer(), Err("23505".to_owned()), "{level}");
        assert!(observer.check(&other), "{level}: what was not rotated is as it was");
    }
}

#[test]
fn the_second_of_two_rotations_to_one_session_succeeds_if_the_first_rolls_back() {
    let (mut first, second, mut observer) = (app(), app(), app());
    let (one, other, new) = (new_sid(), new_sid(), new_sid());
    first.open(&one);
    first.open(&other);
    first.run("BEGIN");
    assert!(first.rotate(&one, &new));
    let rotating = InFlight::start(second, {
        let (other, new) = (other.clone(), new.clone());
        move |second| second.rotate(&other, &new)
    });
    rotating.is_waiting(&mut observer);
    first.run("ROLLBACK");
    assert!(rotating.answer());
    assert!(
        observer.check(&one),
        "the rotation that was rolled back left its session"
    );
}

#[test]
fn just_one_of_many_rotations_to_one_session_succeeds() {
    for _ in 0..10 {
        let new = new_sid();
        let rotations = all_at_once((0..6).map(|_| app()), {
            let new = new.clone();
            move |client, _| {
                let old = new_sid();
                client.open(&old);
                try_call(client, &format!("rotate_session('{old}', '{new}')"))
            }
        });
        let refused = Err("23505".to_owned());
        assert_eq!(
            rotations.iter().filter(|end| **end == Ok(true)).count(),
            1,
            "{rotations:?}"
        );
        assert_eq!(
            rotations.iter().filter(|end| **end == refused).count(),
            5,
            "{rotations:?}"
        );
    }
}

#[test]
fn a_login_of_the_new_session_waits_for_a_rotation_and_is_a_re_login() {
    for level in SNAPSHOT_LEVELS {
        let (mut rotator, mut opener, mut observer) = (app(), app(), app());
        let (old, new) = (new_sid(), new_sid());
        rotator.open_as(&old, "rotated");
        begin(&mut opener, level);
        rotator.run("BEGIN");
        assert!(rotator.rotate(&old, &new));
        let login = InFlight::start(opener, {
            let new = new.clone();
            move |opener| {
                opener.open_as(&new, "opened");
                opener.run("COMMIT");
            }
        });
        login.is_waiting(&mut observer);
        rotator.run("COMMIT");
        login.answer();
        assert_eq!(
            observer.stored(&new).expect("a row").user_name.as_deref(),
            Some("opened"),
            "{level}"
        );
    }
}

#[test]
fn a_rotation_finds_nothing_to_rotate_after_others_have_deleted_the_row() {
    for level in SNAPSHOT_LEVELS {
        let (mut old_snapshot, mut other) = (app(), app());
        let old = new_sid();
        other.open(&old);
        begin(&mut old_snapshot, level);
        assert!(other.close_sid(&old));
        let rotated = try_call(&mut old_snapshot, &format!("rotate_session('{old}', '{}')", new_sid()));
        assert_eq!(rotated, Ok(false), "{level}");
    }
}

/// Rotates onto an id under which another transaction has opened a session that it then changes by `sql`: what the rotation
/// answers after that commit.
#[track_caller]
fn rotation_onto_a_login_in_flight(sql: &str) -> Result<bool, String> {
    let (rotator, mut other, mut observer) = (app(), app(), app());
    let (old, new) = (new_sid(), new_sid());
    observer.open(&old);
    other.run("BEGIN");
    other.open(&new);
    other.run(&sql.replace("$1", &format!("'{new}'")));
    let rotating = InFlight::start(rotator, {
        let call = format!("SELECT session_timeout.rotate_session('{old}', '{new}')");
        move |rotator| match rotator.query_one(&call, &[]) {
            Ok(row) => Ok(row.get(0)),
            Err(error) => Err(ServerError::of(&error).message),
        }
    });
    rotating.is_waiting(&mut observer);
    other.run("COMMIT");
    rotating.answer()
}

#[test]
fn a_rotation_onto_a_login_in_flight_is_refused_with_our_error() {
    let refused = rotation_onto_a_login_in_flight("SELECT 1");
    assert_eq!(
        refused,
        Err("a session is already open under the new session id".to_owned())
    );
}

#[test]
fn a_rotation_onto_a_login_in_flight_that_is_past_its_limit_by_then_succeeds() {
    let past = "UPDATE session_timeout.session SET last_activity = '2020-01-01' WHERE digest = session_timeout.session_digest($1)";
    assert_eq!(rotation_onto_a_login_in_flight(past), Ok(true));
}
