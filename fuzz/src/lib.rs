//! The bodies of the fuzz targets, which are also run by the tests of the library they fuzz.

#[path = "../../crates/core/tests/bodies/mod.rs"]
pub mod bodies;
