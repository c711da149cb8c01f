//! What the views show.

mod active_session;
mod stat_session_timeout;
mod stat_worker;
