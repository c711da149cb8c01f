//! The harness itself: the shared server answers, and what is watched is noticed.

use std::time::{Duration, Instant};

use session_timeout_tests::{settles, shared, stays};

#[test]
fn the_shared_server_answers() {
    let database = shared().database_builder("smoke").without_extension().create();
    let row = database.connect().query_one("SELECT 1", &[]).expect("an answer");
    assert_eq!(row.get::<_, i32>(0), 1);
    assert_eq!(database.psql("SELECT current_database()").trim(), database.name());
}

#[test]
#[should_panic(expected = "it is below four")]
fn what_does_not_stay_so_is_noticed_at_once() {
    let mut asked = 0;
    stays("it is below four", Duration::from_secs(3600), || {
        asked += 1;
        asked < 4
    });
}

#[test]
fn what_stays_so_is_watched_to_the_end() {
    let (begun, long) = (Instant::now(), Duration::from_millis(50));
    stays("it is", long, || true);
    assert!(begun.elapsed() >= long);
}

#[test]
fn a_figure_has_settled_when_it_has_not_changed_for_so_long() {
    let (mut asked, long) = (0, Duration::from_millis(50));
    let settled = settles("it is five", Duration::from_secs(60), long, || {
        asked += 1;
        asked.min(5)
    });
    assert_eq!(settled, 5);
}
