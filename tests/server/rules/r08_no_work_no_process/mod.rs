//! Rule 8: no work, no process. Nothing stays connected to a database.
//!
//! `DROP DATABASE`, `RENAME` and `CREATE DATABASE … TEMPLATE` succeed within PostgreSQL's own five-second wait, at any time,
//! under load.

mod databases;
mod idle;
