//! The file that a clean shutdown writes and the next start reads: activity and expiries that no row has, so that a restart
//! loses neither.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | [`MAGIC`], and the version of the format |
//! | up to 25 | the [`Binding`]: system identifier, timeline, position of the shutdown checkpoint |
//! | up to 63 each | [`Record`]s: their kind, then a session or the limits of a database |
//! | 32 | SHA-256 of everything before |
//!
//! Values are in postcard's encoding.
//!
//! - **Binding.** The file is bound to the checkpoint that ended the cluster, so it fits the very same data only. A reader uses
//!   it only if checksum and binding are right.
//! - **Meaning.** It gives activity, expiries and the limits of unrecorded expiries, never validity. An entry made from it is
//!   unverified, and counts only if the row has the entry's version.
//! - **Room.** Expired sessions come first ([`unsaved`](super::Registry::unsaved)), so that they find room if `max_sessions` is
//!   lower at the next start.
//! - **Memory.** The postmaster writes and reads the file, record by record, in memory that does not grow with their number.
//!   It reads the file twice, 64 kB at a time: for the checksum, then for the records.
//!
//! | version | written by | a record |
//! | --- | --- | --- |
//! | 1 | 0.1.0 | a [`SavedSession`] |
//! | 2 | 0.2.0 | a [`Record`]: its kind, then its contents. A new kind is a new variant, added at the end |
//!
//! When the file is written, read and removed is up to the library: see `snapshot` in its `src/shared`.

use std::io::{self, Read, Seek, SeekFrom, Write};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::key::Key;
use super::unrecorded::UnrecordedLimits;
use crate::digest::Digest;

/// The first bytes of the file. The next byte is the version of the format.
pub const MAGIC: [u8; 7] = *b"ISTSNAP";

/// The version that is written.
const VERSION: u8 = 2;

/// The version that 0.1.0 wrote: sessions only, without their kind.
const WITHOUT_KINDS: u8 = 1;

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

/// No value takes more bytes: a session takes at most 63.
const LONGEST: usize = 128;

/// How many bytes are read at once.
const BUFFER: usize = 1 << 16;

/// Which cluster, and which end of it, a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// PostgreSQL's system identifier.
    pub system: u64,
    /// The timeline of its last checkpoint.
    pub timeline: u32,
    /// Where in the WAL its last checkpoint is.
    pub checkpoint: u64,
}

/// A record of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A session with activity or an expiry that its row does not have.
    Session(SavedSession),
    /// The limits of a database's unrecorded expiries.
    Unrecorded(SavedLimits),
}

/// The [limits](UnrecordedLimits) of one database, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedLimits {
    /// Its OID.
    pub database: u32,
    idle: Option<i64>,
    absolute: Option<i64>,
}

impl SavedLimits {
    /// The limits in the form that is written.
    pub fn new(database: u32, limits: &UnrecordedLimits) -> Self {
        let millis = |limit: Option<TimeDelta>| limit.map(|limit| limit.num_milliseconds());
        Self {
            database,
            idle: millis(limits.idle()),
            absolute: millis(limits.absolute()),
        }
    }

    /// The limits that were read.
    pub fn limits(&self) -> UnrecordedLimits {
        let span = |millis: Option<i64>| millis.and_then(TimeDelta::try_milliseconds);
        UnrecordedLimits::saved(span(self.idle), span(self.absolute))
    }
}

/// A session's activity and expired flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    database: u32,
    table: u32,
    digest: [u8; Digest::LEN],
    pub(super) version: i64,
    pub(super) word: u64,
}

impl SavedSession {
    pub(super) fn new(key: &Key, version: i64, word: u64) -> Self {
        Self {
            database: key.database,
            table: key.table,
            digest: *key.digest.as_bytes(),
            version,
            word,
        }
    }

    pub(super) fn key(&self) -> Key {
        Key {
            database: self.database,
            table: self.table,
            digest: Digest::from(self.digest),
        }
    }
}

/// Why a file is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Not such a file, or of a version that is not known.
    #[error("it is not of a format that this version reads")]
    Format,
    /// Truncated or changed.
    #[error("it is damaged")]
    Damaged,
    /// Of another cluster.
    #[error("it belongs to another cluster")]
    Foreign,
    /// Of this cluster, but not of its last shutdown.
    #[error("it is not from the last shutdown")]
    Stale,
    /// An error of the file system.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl From<io::Error> for Rejected {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // It has become shorter in the meantime.
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            kind => Self::Unreadable(kind),
        }
    }
}

/// Writes a file. Returns the number of records.
///
/// # Errors
/// The errors of `to`.
pub fn write(to: impl Write, binding: &Binding, records: impl Iterator<Item = Record>) -> io::Result<u64> {
    let mut hashing = Hashing {
        to,
        hasher: Sha256::new(),
    };
    hashing.write_all(&MAGIC)?;
    hashing.write_all(&[VERSION])?;
    put(&mut hashing, binding)?;
    let mut count = 0;
    for record in records {
        put(&mut hashing, &record)?;
        count += 1;
    }
    let Hashing { mut to, hasher } = hashing;
    to.write_all(&hasher.finalize())?;
    to.flush()?;
    Ok(count)
}

/// Writes one value.
fn put(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut room = [0; LONGEST];
    let bytes = postcard::to_slice(value, &mut room).map_err(io::Error::other)?;
    to.write_all(bytes)
}

/// The records of a file, one after the other. Nothing follows an error.
pub struct Records<F> {
    file: F,
    /// Bytes before the checksum that are not in the buffer yet.
    left: u64,
    buffer: Vec<u8>,
    /// How much of the buffer has been decoded.
    used: usize,
    has_kinds: bool,
}

impl<F: Read + Seek> Records<F> {
    /// Opens a file that belongs to `expected`. Compares the checksum first, and returns no record unless it is right.
    ///
    /// # Errors
    /// Why the file is not read.
    pub fn open(mut file: F, expected: &Binding) -> Result<Self, Rejected> {
        let length = file.seek(SeekFrom::End(0))?;
        let body = length.checked_sub(CHECKSUM as u64).ok_or(Rejected::Format)?;
        file.rewind()?;
        let mut start = [0; MAGIC.len() + 1];
        let (magic, version) = match file.read_exact(&mut start) {
            Ok(()) => (&start[..MAGIC.len()], start[MAGIC.len()]),
            Err(_) => return Err(Rejected::Format),
        };
        let has_kinds = match version {
            _ if magic != MAGIC => return Err(Rejected::Format),
            VERSION => true,
            WITHOUT_KINDS => false,
            _ => return Err(Rejected::Format),
        };
        file.rewind()?;
        if !is_whole(&mut file, body)? {
            return Err(Rejected::Damaged);
        }
        file.seek(SeekFrom::Start(start.len() as u64))?;
        let mut records = Self {
            file,
            left: body.checked_sub(start.len() as u64).ok_or(Rejected::Format)?,
            buffer: Vec::with_capacity(BUFFER),
            used: 0,
            has_kinds,
        };
        let binding: Binding = records.value()?.ok_or(Rejected::Damaged)?;
        if binding.system != expected.system {
            return Err(Rejected::Foreign);
        }
        if binding != *expected {
            return Err(Rejected::Stale);
        }
        Ok(records)
    }

    /// The next value; `None` at the end.
    fn value<T: for<'a> Deserialize<'a>>(&mut self) -> Result<Option<T>, Rejected> {
        if self.buffer.len() - self.used < LONGEST && self.left > 0 {
            self.fill()?;
        }
        let rest = &self.buffer[self.used..];
        if rest.is_empty() {
            return Ok(None);
        }
        let (value, after) = postcard::take_from_bytes(rest).map_err(|_| Rejected::Damaged)?;
        self.used = self.buffer.len() - after.len();
        Ok(Some(value))
    }

    /// Reads more bytes, behind those that have not been decoded yet.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let rest = self.buffer.len();
        let more = ((BUFFER - rest) as u64).min(self.left);
        self.buffer.resize(rest + more as usize, 0);
        self.file.read_exact(&mut self.buffer[rest..])?;
        self.left -= more;
        Ok(())
    }
}

impl<F: Read + Seek> Iterator for Records<F> {
    type Item = Result<Record, Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = if self.has_kinds {
            self.value()
        } else {
            self.value().map(|session| session.map(Record::Session))
        };
        if record.is_err() {
            self.left = 0;
            self.buffer.clear();
            self.used = 0;
        }
        record.transpose()
    }
}

/// Whether the checksum of the first `body` bytes stands behind them.
fn is_whole(file: &mut impl Read, body: u64) -> io::Result<bool> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut left = body;
    while left > 0 {
        let part = (BUFFER as u64).min(left) as usize;
        file.read_exact(&mut buffer[..part])?;
        hasher.update(&buffer[..part]);
        left -= part as u64;
    }
    let mut checksum = [0; CHECKSUM];
    file.read_exact(&mut checksum)?;
    Ok(hasher.finalize().as_slice() == checksum)
}

/// Writes to `to`, and hashes what is written.
struct Hashing<W> {
    to: W,
    hasher: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
