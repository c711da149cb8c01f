//! Databases of the server that the tests share, which does not preload the library; and names that no other test has.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use session_timeout_tests::postgres::Client;
use session_timeout_tests::{Database, shared};

/// The database of all tests that leave the parameters as they are and look only at sessions of their own: a database
/// for each test takes time.
pub fn common() -> &'static Database<'static> {
    static COMMON: OnceLock<Database<'static>> = OnceLock::new();
    COMMON.get_or_init(|| shared().database("common"))
}

/// A connection to the [`common`] database.
#[track_caller]
pub fn app() -> Client {
    common().connect()
}

/// A database of its own, for a test that changes parameters or looks at all sessions.
///
/// Making a database takes much longer than recreating the extension, so one that a test is done with serves the next.
pub fn own_database() -> OwnDatabase {
    let used = USED.lock().expect("no panic holds it").pop();
    if let Some(database) = &used {
        database.execute("DROP EXTENSION inactive_session_timeout");
        database.execute("CREATE EXTENSION inactive_session_timeout");
    }
    OwnDatabase(Some(used.unwrap_or_else(|| shared().database("own"))))
}

static USED: Mutex<Vec<Database<'static>>> = Mutex::new(Vec::new());

/// What [`own_database`] gives. Declare it before the connections to it.
pub struct OwnDatabase(Option<Database<'static>>);

impl Deref for OwnDatabase {
    type Target = Database<'static>;

    fn deref(&self) -> &Database<'static> {
        self.0.as_ref().expect("it is there until dropped")
    }
}

impl Drop for OwnDatabase {
    fn drop(&mut self) {
        // A test that failed may have left anything: then it is dropped.
        if !thread::panicking()
            && let Some(database) = self.0.take()
            && let Ok(mut used) = USED.lock()
        {
            used.push(database);
        }
    }
}

/// A session id, or a user's name, that no other test has.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{what}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A session id that no other test has.
pub fn new_sid() -> String {
    unique("secret-session-id")
}
