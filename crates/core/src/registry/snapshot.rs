//! What a clean shutdown writes of the registry, and the next start reads: activity and marks that no row has.
//!
//! A file: [`MAGIC`], the version of its format, the [`Binding`], a number of [`Record`]s, each in postcard's encoding, and
//! the SHA-256 of all that. It is bound to the checkpoint that ended the cluster it was written by, so that it fits nothing
//! but the very same data. It gives activity, marks and the limits of unrecorded expiries, never validity: an entry made from it is unverified, and counts only
//! where the row's version is its own.
//!
//! It is written and read record by record, in memory that does not grow with their number: the postmaster does both.
//!
//! | version | written by | a record |
//! | --- | --- | --- |
//! | 1 | 0.1.0 | a [`SavedSession`] |
//! | 2 | 0.2.0 | a [`Record`]: its kind, then what that consists of. A new kind is a new variant, added at the end |

use std::io::{self, Read, Seek, SeekFrom, Write};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::key::Key;
use super::unrecorded::UnrecordedLimits;
use crate::digest::Digest;

/// What such a file begins with; the next byte is the format's version.
pub const MAGIC: [u8; 7] = *b"ISTSNAP";

/// The version that is written.
const VERSION: u8 = 2;

/// The version of 0.1.0: records of sessions only, without their kind.
const WITHOUT_KINDS: u8 = 1;

/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

/// No value takes more bytes than this: a session has at most 63.
const LONGEST: usize = 128;

/// Bytes that are read at once.
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

/// One piece of what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A session that has activity or a mark that its row has not.
    Session(SavedSession),
    /// What is known of expiries in a database that no entry records.
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
    /// To be written.
    pub fn new(database: u32, limits: &UnrecordedLimits) -> Self {
        let millis = |limit: Option<TimeDelta>| limit.map(|limit| limit.num_milliseconds());
        Self {
            database,
            idle: millis(limits.idle()),
            absolute: millis(limits.absolute()),
        }
    }

    /// As they were read.
    pub fn limits(&self) -> UnrecordedLimits {
        let span = |millis: Option<i64>| millis.and_then(TimeDelta::try_milliseconds);
        UnrecordedLimits::saved(span(self.idle), span(self.absolute))
    }
}

/// One session's activity and mark.
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
    /// Not to be read at all.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
}

impl From<io::Error> for Rejected {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // It is shorter than it was a moment before.
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            kind => Self::Unreadable(kind),
        }
    }
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
    /// What of the buffer has been decoded.
    used: usize,
    has_kinds: bool,
}

impl<F: Read + Seek> Records<F> {
    /// Opens a file that belongs to `expected`: its checksum is compared first, and nothing is given away unless it is right.
    ///
    /// # Errors
    /// Why it is not to be read.
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

    /// Reads on, behind what has not been decoded yet.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let kept = self.buffer.len();
        let more = ((BUFFER - kept) as u64).min(self.left);
        self.buffer.resize(kept + more as usize, 0);
        self.file.read_exact(&mut self.buffer[kept..])?;
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

/// Whether the checksum behind the first `body` bytes is theirs.
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
    use std::io::Cursor;

    use super::super::test_support::key;
    use super::*;

    const HERE: Binding = Binding {
        system: 7_000_000_000_000_000_000,
        timeline: 1,
        checkpoint: 0x1_5000_0028,
    };

    fn session(n: u32) -> Record {
        // The numbers take one byte to ten.
        let spread = u64::MAX >> (n % 64);
        Record::Session(SavedSession::new(&key(n), spread.cast_signed(), spread))
    }

    fn file(sessions: u32) -> (Vec<u8>, Vec<Record>) {
        let records: Vec<Record> = (0..sessions).map(session).collect();
        let mut file = Vec::new();
        assert_eq!(
            write(&mut file, &HERE, records.iter().copied()).expect("memory takes it"),
            u64::from(sessions)
        );
        (file, records)
    }

    fn read(file: &[u8], expected: &Binding) -> Result<Vec<Record>, Rejected> {
        Records::open(Cursor::new(file), expected)?.collect()
    }

    #[test]
    fn what_was_written_is_read() {
        for sessions in [0, 1, 100, 10_000] {
            let (file, records) = file(sessions);
            assert_eq!(read(&file, &HERE), Ok(records));
        }
    }

    #[test]
    fn limits_of_unrecorded_expiries_are_read_as_they_were() {
        let second = TimeDelta::seconds(1);
        for (idle, absolute) in [
            (Some(second), None),
            (None, Some(second * 7)),
            (Some(second), Some(second * 7)),
        ] {
            let limits = UnrecordedLimits::saved(idle, absolute);
            let record = Record::Unrecorded(SavedLimits::new(5, &limits));
            let mut file = Vec::new();
            write(&mut file, &HERE, [record, session(1)].into_iter()).expect("memory takes it");
            let records = read(&file, &HERE).expect("it is whole");
            assert_eq!(records, [record, session(1)]);
            let Record::Unrecorded(read) = records[0] else {
                panic!("another kind");
            };
            assert_eq!(
                (read.database, read.limits().idle(), read.limits().absolute()),
                (5, idle, absolute)
            );
        }
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let (file, _) = file(100);
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
        let (mut file, _) = file(100);
        assert_eq!(read(&file, &Binding { system: 1, ..HERE }), Err(Rejected::Foreign));
        assert_eq!(read(&file, &Binding { timeline: 2, ..HERE }), Err(Rejected::Stale));
        assert_eq!(read(&file, &Binding { checkpoint: 1, ..HERE }), Err(Rejected::Stale));
        file[7] = VERSION + 1;
        assert_eq!(read(&file, &HERE), Err(Rejected::Format));
        assert_eq!(read(&[], &HERE), Err(Rejected::Format));
        assert_eq!(read(&[0; 1000], &HERE), Err(Rejected::Format));
    }

    /// A kind of record that a later version of the library has.
    #[test]
    fn nothing_is_read_on_after_a_record_that_is_not_understood() {
        let mut file = Vec::new();
        let mut hashing = Hashing {
            to: &mut file,
            hasher: Sha256::new(),
        };
        let mut all = || {
            hashing.write_all(&MAGIC)?;
            hashing.write_all(&[VERSION])?;
            put(&mut hashing, &HERE)?;
            put(&mut hashing, &session(1))?;
            hashing.write_all(&[77])?;
            put(&mut hashing, &session(2))
        };
        all().expect("memory takes it");
        let checksum = hashing.hasher.finalize();
        file.extend_from_slice(&checksum);
        let records: Vec<_> = Records::open(Cursor::new(&file), &HERE).expect("it is whole").collect();
        assert_eq!(records, [Ok(session(1)), Err(Rejected::Damaged)]);
    }

    /// The most that one read asked for, of a file that is much larger.
    struct Watched(Cursor<Vec<u8>>, usize);

    impl Read for &mut Watched {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.max(bytes.len());
            self.0.read(bytes)
        }
    }

    impl Seek for &mut Watched {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_file_is_read_in_memory_that_does_not_grow_with_it() {
        let (file, _) = file(50_000);
        assert!(file.len() > 20 * BUFFER);
        let mut watched = Watched(Cursor::new(file), 0);
        let mut records = Records::open(&mut watched, &HERE).expect("it is whole");
        assert_eq!(records.by_ref().count(), 50_000);
        assert!(records.buffer.capacity() <= 2 * BUFFER);
        assert!(watched.1 <= BUFFER);
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
        assert_eq!(read(&file, &HERE), Ok(two_sessions()));
    }

    #[test]
    fn a_file_is_written_as_it_always_was() {
        let mut now = Vec::new();
        write(&mut now, &HERE, two_sessions().into_iter()).expect("memory takes it");
        let file = decode(FILE_OF_VERSION_2);
        assert_eq!(now, file, "another format needs another version");
        assert_eq!(read(&file, &HERE), Ok(two_sessions()));
    }

    const FILE_OF_VERSION_2: &str = "495354534e4150028080f09d99ddbf926101a8808080150005868001abababababababababababababababababababab\
         abababababababababababab02bcb5e2b3c5c684952b0080800186800101010101010101010101010101010101010101\
         010101010101010101010101010dbcb5e2b3c5c684956b226471a71564ec817de0cd4b118f3fbad81f4210d08e7673f9\
         b38c8836693132";

    fn two_sessions() -> Vec<Record> {
        let session = |database, byte, version, word| {
            Record::Session(SavedSession {
                database,
                table: 16_390,
                digest: [byte; Digest::LEN],
                version,
                word,
            })
        };
        vec![
            session(5, 0xab, 1, 0x2b2a_1234_5678_9abc),
            session(16_384, 0x01, -7, 0x6b2a_1234_5678_9abc),
        ]
    }

    fn decode(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        (0..hex.len()).step_by(2).map(byte).collect()
    }
}
