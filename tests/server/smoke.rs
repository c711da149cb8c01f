//! The harness itself: the shared server answers.

use session_timeout_tests::shared;

#[test]
fn the_shared_server_answers() {
    let database = shared().database_builder("smoke").without_extension().create();
    let row = database.connect().query_one("SELECT 1", &[]).expect("an answer");
    assert_eq!(row.get::<_, i32>(0), 1);
    assert_eq!(database.psql("SELECT current_database()").trim(), database.name());
}
