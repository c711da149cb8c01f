//! What a clean shutdown saves of the entries, and the next start restores. The file's format is in
//! [`snapshot`](super::snapshot).

use super::entry::EntryFilter;
use super::eviction::Reserve;
use super::handle::Registry;
use super::locks::Locks;
use super::snapshot::SavedSession;
use super::word::Word;

impl<'m, L: Locks> Registry<'m, L> {
    /// What no row has: expired sessions, then dirty ones. Expired ones come first, as there may be less room where they are
    /// restored, and a lost expiry lets a session live on. Nobody else may use the registry at the same time.
    pub fn unsaved(&self) -> impl Iterator<Item = SavedSession> + use<'m, L> {
        let table = self.table;
        [EntryFilter::Expired, EntryFilter::Dirty]
            .into_iter()
            .flat_map(move |filter| (0..table.partitions()).map(move |partition| (filter, partition)))
            .flat_map(move |(filter, partition)| table.entries(partition).filter(move |entry| entry.passes(filter)))
            .map(|entry| SavedSession::new(&entry.key(), entry.version(), entry.word().bits()))
    }

    /// Restores a saved session as an unverified entry, which counts only if the row has its version. Returns whether there was
    /// room. Exclusive lock.
    pub fn restore(&self, session: &SavedSession) -> bool {
        let (key, word) = (session.key(), Word::from_bits(session.word));
        let place = self.table.place(&key);
        let reserve = match word.expiry() {
            Some(_) => Reserve::Use,
            None => Reserve::Keep,
        };
        self.locks.exclusive(place.partition, || {
            if self.table.find(place, &key).is_some() {
                return false;
            }
            let Some(entry) = self.insert(place, &key, reserve) else {
                return false;
            };
            entry.restore(session.version, word);
            self.table.list(place.partition, &entry);
            true
        })
    }

    /// Whether there is an entry of a saved session, which then is newer. Shared lock.
    pub fn has_entry_for(&self, session: &SavedSession) -> bool {
        let key = session.key();
        let place = self.table.place(&key);
        self.locks
            .shared(place.partition, || self.table.find(place, &key).is_some())
    }
}
