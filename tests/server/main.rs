//! Tests on a real server, over many connections.

mod support;

mod altered_tables;
mod checks;
mod concurrency;
mod documentation;
mod dump;
mod encodings;
mod events;
mod ignored_urls;
mod interface;
mod lifecycle;
mod log;
mod model;
mod monitoring;
mod parameters;
mod pooler;
mod replication;
mod rewrites;
mod rules;
mod smoke;
mod upgrade;
mod views;
mod worker;
