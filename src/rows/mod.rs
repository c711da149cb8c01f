//! The extension's tables: their columns, and finding and writing their rows.
//!
//! Functions write rows through the table access method, so triggers do not fire and constraints are not evaluated. A column
//! that an administrator has added gets its default in a new row (23502 if it is NOT NULL and has none; 0A000 if it is
//! generated and stored). An index that an administrator has added is used only if it finds every row and orders by the
//! column's own equality.

pub mod config_parameter;
pub mod session;
pub mod session_cursor;
pub mod session_event;
pub mod user_lock;
