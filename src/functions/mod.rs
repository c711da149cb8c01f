//! The SQL functions, by the groups of the interface. Each converts its arguments, calls the room that does the work,
//! and converts back; what it means is said in the install script, beside its declaration.

mod check;
mod lifecycle;
mod maintenance;
mod parameters;
mod triggers;
mod views;
