use std::io::Cursor;

use super::*;
use crate::registry::test_support::key;

const HERE: Binding = Binding {
    system: 7_000_000_000_000_000_000,
    timeline: 1,
    checkpoint: 0x1_5000_0028,
};

fn session(n: u32) -> Record {
    // These numbers take one to ten bytes.
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
fn every_truncation_and_every_changed_byte_is_noticed() {
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
fn files_of_other_clusters_shutdowns_and_formats_are_rejected() {
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
fn nothing_is_read_after_a_record_of_an_unknown_kind() {
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

/// A file, and the size of the largest read.
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
fn a_file_is_read_in_constant_memory() {
    let (file, _) = file(50_000);
    assert!(file.len() > 20 * BUFFER);
    let mut watched = Watched(Cursor::new(file), 0);
    let mut records = Records::open(&mut watched, &HERE).expect("it is whole");
    assert_eq!(records.by_ref().count(), 50_000);
    assert!(records.buffer.capacity() <= 2 * BUFFER);
    assert!(watched.1 <= BUFFER);
}

/// The library may have been upgraded between shutdown and start.
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
