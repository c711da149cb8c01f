//! Rule 7: only the worker writes activity and deletes expired rows by itself.
//!
//! It does so in short transactions, in batches of bounded size, waiting for no lock, and touches a row only if its version is
//! the one that it means.

mod batches;
mod locks;
mod versions;
