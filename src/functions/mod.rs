//! The SQL functions, a file for each group of the interface. A function converts its arguments, calls the module that does
//! the work, and converts the result. What it means is said by its `COMMENT ON` in the install script.

mod check;
mod lifecycle;
mod maintenance;
mod parameters;
mod triggers;
mod views;
