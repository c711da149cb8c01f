//! What a clean shutdown writes of the registry, and the next start reads: activity and marks that no row has.
//!
//! A file: [`MAGIC`], the [`Binding`], a number of [`Record`]s, each in postcard's encoding, and the SHA-256 of all that.
//! It is bound to the checkpoint that ended the cluster it was written by, so that it fits nothing but the very same data,
//! untouched since. It gives activity and marks, never validity: an entry made from it is unverified, and counts only
//! where the row's version is its own.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Key;
use super::table::Room;
use super::word::Word;
use crate::digest::Digest;

/// What such a file begins with; the last byte is the format's version.
pub const MAGIC: [u8; 8] = *b"ISTSNAP\x01";

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

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

/// One session's activity and mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    database: u32,
    table: u32,
    digest: [u8; Digest::LEN],
    pub(super) version: i64,
    pub(super) word: u64,
}

impl Record {
    pub(super) fn new(key: &Key, version: i64, word: u64) -> Self {
        Self {
            database: key.database,
            table: key.table,
            digest: *key.digest.as_bytes(),
            version,
            word,
        }
    }

    /// A mark may lie where marks do.
    pub(super) fn room(&self) -> Room {
        match Word::from_bits(self.word).mark() {
            Some(_) => Room::All,
            None => Room::ForLoads,
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
    /// Not such a file, or of another version of the format.
    #[error("it is not of a format that this version reads")]
    Format,
    /// Cut off or changed.
    #[error("it is damaged")]
    Damaged,
    /// Of another cluster.
    #[error("it belongs to another cluster")]
    Foreign,
    /// Of this cluster, but not of its last shutdown.
    #[error("it is not from the last shutdown")]
    Stale,
}

/// Writes a file: how many records.
///
/// # Errors
/// Those of `to`.
pub fn write(to: impl Write, binding: &Binding, records: impl Iterator<Item = Record>) -> io::Result<u64> {
    let mut hashing = Hashing {
        to,
        hasher: Sha256::new(),
    };
    hashing.write_all(&MAGIC)?;
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

/// Reads a file that belongs to `expected`.
///
/// # Errors
/// Why it is not to be read.
pub fn read(file: &[u8], expected: &Binding) -> Result<Vec<Record>, Rejected> {
    let body_end = file.len().checked_sub(CHECKSUM).ok_or(Rejected::Format)?;
    let (body, checksum) = file.split_at(body_end);
    let rest = body.strip_prefix(&MAGIC).ok_or(Rejected::Format)?;
    if Sha256::digest(body).as_slice() != checksum {
        return Err(Rejected::Damaged);
    }
    let (binding, mut rest) = postcard::take_from_bytes::<Binding>(rest).map_err(|_| Rejected::Damaged)?;
    if binding.system != expected.system {
        return Err(Rejected::Foreign);
    }
    if binding != *expected {
        return Err(Rejected::Stale);
    }
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (record, left) = postcard::take_from_bytes(rest).map_err(|_| Rejected::Damaged)?;
        records.push(record);
        rest = left;
    }
    Ok(records)
}

/// Writes one value. All of ours fit: a record has at most 66 bytes.
fn put(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut room = [0; 96];
    let bytes = postcard::to_slice(value, &mut room).map_err(io::Error::other)?;
    to.write_all(bytes)
}

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
mod tests {
    use super::super::tests::key;
    use super::*;

    const HERE: Binding = Binding {
        system: 7_000_000_000_000_000_000,
        timeline: 1,
        checkpoint: 0x1_5000_0028,
    };

    fn file() -> (Vec<u8>, Vec<Record>) {
        let records: Vec<Record> = (0..100)
            .map(|n| Record::new(&key(n), i64::from(n) - 50, u64::MAX - u64::from(n)))
            .collect();
        let mut file = Vec::new();
        assert_eq!(
            write(&mut file, &HERE, records.iter().copied()).expect("memory takes it"),
            100
        );
        (file, records)
    }

    #[test]
    fn what_was_written_is_read() {
        let (file, records) = file();
        assert_eq!(read(&file, &HERE), Ok(records));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let (file, _) = file();
        for end in 0..file.len() {
            assert!(read(&file[..end], &HERE).is_err(), "cut at {end}");
        }
        for n in 0..file.len() {
            let mut changed = file.clone();
            changed[n] ^= 1;
            assert!(read(&changed, &HERE).is_err(), "changed at {n}");
        }
    }

    #[test]
    fn files_of_other_clusters_other_shutdowns_and_other_formats_are_told_apart() {
        let (mut file, _) = file();
        assert_eq!(read(&file, &Binding { system: 1, ..HERE }), Err(Rejected::Foreign));
        assert_eq!(read(&file, &Binding { timeline: 2, ..HERE }), Err(Rejected::Stale));
        assert_eq!(read(&file, &Binding { checkpoint: 1, ..HERE }), Err(Rejected::Stale));
        file[7] = 2;
        assert_eq!(read(&file, &HERE), Err(Rejected::Format));
        assert_eq!(read(&[], &HERE), Err(Rejected::Format));
    }

    /// The server that shuts down may have an older library than the one that starts.
    #[test]
    fn a_file_of_0_1_0_is_read() {
        let file = decode(
            "495354534e4150018080f09d99ddbf926101a88080801505868001ababababababababababababababababababababab\
             ababababababababababab02bcb5e2b3c5c684952b808001868001010101010101010101010101010101010101010101\
             01010101010101010101010dbcb5e2b3c5c684956b4f61f43870072ab547795ccf64c6e24be9284560e4946e38ccf9f4\
             a6d2ef67a6",
        );
        let record = |database, byte, version, word| Record {
            database,
            table: 16_390,
            digest: [byte; Digest::LEN],
            version,
            word,
        };
        let records = vec![
            record(5, 0xab, 1, 0x2b2a_1234_5678_9abc),
            record(16_384, 0x01, -7, 0x6b2a_1234_5678_9abc),
        ];
        let mut now = Vec::new();
        write(&mut now, &HERE, records.iter().copied()).expect("memory takes it");
        assert_eq!(now, file, "another format needs another version, in MAGIC");
        assert_eq!(read(&file, &HERE), Ok(records));
    }

    fn decode(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(byte).collect()
    }
}
