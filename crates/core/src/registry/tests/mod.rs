//! The registry's operations, one at a time, and under threads.

mod checks;
mod displacement;
mod eviction;
mod expire;
mod invalidation;
mod save;
mod sweep;
