//! Snapshots.

use std::thread::panicking;

use pgrx::pg_sys;

use super::relation::Table;

/// A snapshot of this moment: it sees every commit that has returned, and everything that the current transaction has
/// done.
///
/// It is the snapshot of catalog scans, taken anew each time for tables that are not catalogs. Unlike `GetLatestSnapshot`
/// it may be taken in a parallel operation too. Dropping it releases it.
pub struct LatestSnapshot(pg_sys::Snapshot);

impl LatestSnapshot {
    /// Takes a snapshot for this table.
    pub fn take(table: &Table) -> Self {
        // SAFETY: within a transaction; registering copies the snapshot.
        Self(unsafe { pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot(table.oid())) })
    }

    /// PostgreSQL's handle, valid as long as this is.
    pub fn as_ptr(&self) -> pg_sys::Snapshot {
        self.0
    }
}

impl Drop for LatestSnapshot {
    fn drop(&mut self) {
        if !panicking() {
            // SAFETY: registered by take, dropped once.
            unsafe { pg_sys::UnregisterSnapshot(self.0) };
        }
    }
}
