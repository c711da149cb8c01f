//! The launcher and its workers: what they write, end and delete, when, and what they leave alone.

mod expire;
mod extension;
mod flush;
mod launcher;
mod many_databases;
mod passes;
mod retention;
