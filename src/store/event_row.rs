//! Rows of `session_timeout.session_event`.

/// Columns, counted from 1, in the order of the install script.
pub mod column {
    crate::store::shape::columns! {
        ID: c"id" INT8OID,
        AT: c"at" TIMESTAMPTZOID,
        DIGEST: c"digest" BYTEAOID,
        USER_NAME: c"user_name" TEXTOID,
        KIND: c"kind" TEXTOID,
        LAST_ACTIVITY: c"last_activity" TIMESTAMPTZOID,
    }
}
