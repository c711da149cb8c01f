//! The extension is created while a worker looks for it.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::preloaded::{self, QUICK, install};
use crate::support::{SessionCalls, new_sid, wait_until_gone};

#[test]
fn an_extension_created_while_a_worker_looks_is_served() {
    let run = |n: usize| {
        move || {
            let database = preloaded::server()
                .database_builder(&format!("created_{n}"))
                .without_extension()
                .create();
            let (mut client, mut observer) = (database.connect(), preloaded::server().connect());
            for _ in 0..3 {
                client.run("BEGIN");
                client.run(&install(&QUICK));
                // A worker that looks now finds no extension. The commit comes in the midst of it, or nearly so.
                let looking = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                               WHERE backend_type = 'session_timeout worker' AND datname = $1)";
                let deadline = Instant::now() + Duration::from_millis(1500);
                while !observer.value::<bool>(looking, &[&database.name()]) && Instant::now() < deadline {}
                client.run("COMMIT");
                let sid = new_sid();
                client.open_limited(&sid, Some("1 us"), None);
                wait_until_gone(&mut client, &sid);
                client.run("DROP EXTENSION inactive_session_timeout");
            }
        }
    };
    let threads: Vec<_> = (0..4).map(|n| thread::spawn(run(n))).collect();
    for thread in threads {
        thread.join().expect("the extension is served");
    }
}
