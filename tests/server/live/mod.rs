//! The live path: the library preloaded, sessions answered from memory, rows kept by the launcher and its workers.

mod altered;
mod between;
mod clock;
mod commits;
mod crash;
mod databases;
mod finality;
mod passes;
mod pooler;
mod recreated;
mod registry;
mod replication;
mod restart;
mod rules;
mod standby;
mod transactions;
mod volume;
mod worker;
