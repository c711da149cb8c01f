//! What only these tests need: calls, databases, and things to wait for. Servers, roles and polling are in the harness.

mod calls;
mod databases;
mod in_flight;
mod load;
mod notices;
mod parameters;
pub mod preloaded;
mod processes;
mod registry;
mod sessions;
mod snapshot_file;
mod standby;
mod swarm;
mod uncommitted;
mod worker;

pub use calls::{DELAY, ISOLATION_LEVELS, SessionCalls, Stored, assert_about, assert_just_now, hex_digest};
pub use databases::{OwnDatabase, app, common, new_sid, own_database, unique};
pub use in_flight::{
    InFlight, SNAPSHOT_LEVELS, SOON, STRICT_LEVELS, all_at_once, begin, hang_in_commit, let_go, outcome, refusal,
    refuse_to_wait, try_call,
};
pub use load::{Book, Life, Load, Told, assert_kept, assert_settles, size, written_until};
pub use notices::{connect_hearing, heard, heard_json, listener};
pub use parameters::{TIME_PARAMETERS, assert_refused, parameter_value};
pub use processes::{
    assert_no_process_broke, catch_worker, catch_worker_unless, connect, connect_again, processes, signal,
    try_catch_worker,
};
pub use registry::{clogged, figure, open_sessions};
pub use sessions::{ago, check_many, open_expired, open_many, wait_until_idle};
pub use snapshot_file::{Stopped, oldest_activity, snapshot_files, write_file};
pub use standby::catch_up;
pub use swarm::{Swarm, expect};
pub use uncommitted::{NOTE, SET_LIMIT, assert_flushed, assert_known, idle_for_a_while, three_connections, touch};
pub use worker::{
    is_resting, last_pass, transactions, wait_for_passes, wait_until_flushed, wait_until_gone,
    wait_until_nothing_is_due, worker_figure,
};
