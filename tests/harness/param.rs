//! Names of the parameter rows.

/// Idleness allowed.
pub const DELAY: &str = "inactive_session_time_out_delay";
/// The ignored urls.
pub const IGNORED_URL: &str = "inactive_session_time_out_ignored_url";
/// `skip_check` or `no_refresh`.
pub const IGNORED_URL_MODE: &str = "inactive_session_time_out_ignored_url_mode";
/// Age allowed, active or not.
pub const ABSOLUTE_DELAY: &str = "inactive_session_time_out_absolute_delay";
/// How long before its expiry a session is warned.
pub const WARNING: &str = "inactive_session_time_out_warning";
/// Activity that a crash may lose.
pub const FLUSH_INTERVAL: &str = "inactive_session_time_out_flush_interval";
/// `on` or `off`: whether notices are sent.
pub const NOTICES: &str = "inactive_session_time_out_notices";
/// How often expired rows are looked for.
pub const PURGE_INTERVAL: &str = "inactive_session_time_out_purge_interval";
/// How long events are kept.
pub const EVENT_RETENTION: &str = "inactive_session_time_out_event_retention";

/// Every parameter with its default, in the order of the documentation.
pub const DEFAULTS: [(&str, &str); 9] = [
    (DELAY, "7200"),
    (
        IGNORED_URL,
        "/calendar/notify,/longpolling/poll,/longpolling/im_status,/websocket",
    ),
    (IGNORED_URL_MODE, "skip_check"),
    (ABSOLUTE_DELAY, "0"),
    (WARNING, "300"),
    (FLUSH_INTERVAL, "60"),
    (NOTICES, "on"),
    (PURGE_INTERVAL, "60"),
    (EVENT_RETENTION, "30 days"),
];
