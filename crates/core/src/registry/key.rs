//! Which session an entry is of.

use crate::digest::Digest;

/// A session's name among all databases.
///
/// An extension that is dropped and created again has a session table with another OID, so it finds no entry of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// OID of the database.
    pub database: u32,
    /// OID of the session table.
    pub table: u32,
    /// Digest of the session id.
    pub digest: Digest,
}
