//! Tests on a real server, over many connections.

mod support;

mod checks;
mod concurrency;
mod documentation;
mod dump;
mod encodings;
mod events;
mod ignored_urls;
mod interface;
mod lifecycle;
mod live;
mod log;
mod model;
mod monitoring;
mod parameters;
mod pg_upgrade;
mod rules;
mod smoke;
mod upgrade;
