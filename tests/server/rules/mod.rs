//! The rules that must hold, in their order: a module for each, whose tests prove it.

mod r01_checks_never_wait;
mod r02_fail_closed;
mod r03_transactional;
mod r04_activity_survives;
mod r05_newest_commit;
mod r06_no_serialization_failure;
mod r07_worker_only;
mod r08_no_work_no_process;
mod r09_least_privilege;
mod r10_databases_apart;
mod r11_cost_follows_work;
mod r12_nothing_silent;
