//! A check's cost does not depend on other rows of `config_parameter`.

use crate::support::SessionCalls;
use crate::support::preloaded;

/// Pages, as the plan of the statement counts them.
#[test]
fn other_rows_of_config_parameter_cost_a_check_nothing() {
    let database = preloaded::database("other_rows", &[]);
    let mut admin = database.connect();
    admin.run(
        "INSERT INTO session_timeout.config_parameter (key, value) \
         SELECT 'other.' || n, repeat('x', 500) FROM generate_series(1, 5000) AS n",
    );
    admin.check("sid");
    admin.run("SELECT session_timeout.set_param('inactive_session_time_out_delay', '60')");
    let plan: String = {
        let rows = admin
            .query(
                "EXPLAIN (ANALYZE, BUFFERS) SELECT session_timeout.check_session('sid')",
                &[],
            )
            .expect("a plan");
        rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
    };
    let counts = plan.split([' ', '\n']).filter_map(|word| {
        let (kind, count) = word.split_once('=')?;
        matches!(kind, "hit" | "read").then(|| count.parse::<u32>().expect("a number of pages"))
    });
    // Those of planning come after.
    let pages = counts.take(2).max().unwrap_or(0);
    assert!((8..200).contains(&pages), "{pages} of more than 300 pages: {plan}");
}
