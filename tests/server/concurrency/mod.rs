//! Functions that meet other transactions on the same session or user, without preload. The tests hold one transaction
//! open at the point that matters; if that point cannot be held, many transactions race for it.

mod close;
mod drop_extension;
mod open;
mod purge;
mod revoke;
mod rotate;
