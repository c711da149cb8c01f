//! The launcher and its workers: what they write down, end and delete, when, and what they leave alone.

mod extension;
mod figures;
mod flushing;
mod marked;
mod purging;
mod retention;
