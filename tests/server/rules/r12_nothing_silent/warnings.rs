//! What works only with the library preloaded is warned of.

use session_timeout_tests::postgres::error::DbError;
use session_timeout_tests::shared;

use crate::support::{SessionCalls, connect_hearing};

#[test]
fn without_preload_create_extension_warns_what_is_missing() {
    let database = shared().database_builder("warns").without_extension().create();
    let (mut admin, heard) = connect_hearing(&database);
    admin.run("CREATE EXTENSION inactive_session_timeout");
    let heard = heard.lock().expect("unpoisoned");
    let warnings: Vec<&DbError> = heard.iter().filter(|notice| notice.severity() == "WARNING").collect();
    let [warning] = warnings.as_slice() else {
        panic!("one warning: {heard:?}");
    };
    let detail = warning.detail().unwrap_or_default();
    assert!(
        detail.contains("skip_check") && detail.contains("only polls"),
        "{detail}"
    );
    let hint = warning.hint().unwrap_or_default();
    assert!(hint.contains("purge_sessions()"), "{hint}");
}
