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
/// How often expired rows are looked for.
pub const PURGE_INTERVAL: &str = "inactive_session_time_out_purge_interval";
/// How long events are kept.
pub const EVENT_RETENTION: &str = "inactive_session_time_out_event_retention";
