//! The live path: the library preloaded, sessions answered from memory, rows kept by the launcher and its workers.

mod altered;
mod databases;
mod passes;
mod pooler;
mod registry;
mod replication;
mod worker;
