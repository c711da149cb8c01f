//! The file that carries the registry over a clean restart. The postmaster, or a single-user server, writes it when it
//! ends and reads it when it starts.
//!
//! **Writing.** The postmaster is the last process, and `pg_control` says whether the shutdown was clean. Only then is the
//! file written, bound to that very checkpoint.
//!
//! **Reading.** When the postmaster has created the shared memory, before anything is written to the cluster, it reads a file
//! that is bound to the last checkpoint of `pg_control`. Any problem is logged, and loses at most the activity since the last
//! flush.
//!
//! **Removing.** The file stays until the server accepts connections: [`consume`] removes it in the launcher, which starts
//! when recovery has ended. A start that fails before that (`pg_hba.conf`, a port in use, a crash of the startup process)
//! leaves the file and the checkpoint as they were, and the next start reads the file again.
//!
//! Reading the file twice does no harm, nor does reading it after a crash of a server that had not written another
//! checkpoint:
//!
//! - Each version in it was drawn before its checkpoint. No history of the cluster that continues from there draws it again,
//!   so a row of that version is the very login that the record is about, whatever was committed since.
//! - Activity only moves forward, and a row that has newer activity keeps it. Setting it back by hand makes a new version.
//! - An expiry is final for its version.
//!
//! A file that is bound to an earlier checkpoint is not read. Recovery from a crash ends with a checkpoint, so a server that
//! was killed, and is killed again just after that, has lost the file. DROP DATABASE makes a checkpoint too, so a new
//! database with the same OID finds nothing of the old one.
//!
//! What is left at the end, if `pg_control` says that the shutdown was clean:
//!
//! | what ends | the file |
//! | --- | --- |
//! | a server that has not written a checkpoint | stays |
//! | a server that has accepted connections; a single-user server; one that pg_upgrade started, which has no launcher | is written anew from the registry; sessions that found no room, and are still in the file, are kept |
//! | a standby that was a primary, shut down cleanly, before | is bound to its last restartpoint; what it saw as a standby is not kept |

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use session_timeout_core::registry::snapshot::{self, Binding, Record, Records, SavedLimits};

use super::databases;
use super::segment::{self, Shared};
use crate::pg::backend_local::BackendLocal;

/// Relative to the data directory, the working directory of all processes.
const FILE: &str = "pg_stat/inactive_session_timeout.snapshot";
const UNFINISHED: &str = "pg_stat/inactive_session_timeout.snapshot.tmp";
const DIRECTORY: &str = "pg_stat";

/// What the postmaster, or the single-user server, started from.
#[derive(Clone, Copy)]
struct Start {
    checkpoint: Binding,
    /// How many sessions of the file found no room.
    without_room: u64,
}

static START: BackendLocal<Cell<Option<Start>>> = BackendLocal::new(Cell::new(None));

/// Called when the shared memory has been created, in the postmaster or a single-user server. Reads what the last shutdown
/// left, and registers the callback that writes the file.
pub fn start(shared: &'static Shared) {
    // SAFETY: plain reads of the process's state. The postmaster empties the list of callbacks when it restarts after a
    // crash, and comes here again.
    unsafe {
        if pg_sys::IsUnderPostmaster {
            return;
        }
        pg_sys::on_shmem_exit(Some(on_exit), Datum::from(0_usize));
    }
    let Some(control) = Control::read() else { return };
    let mut without_room = 0;
    match read(shared, &control.binding) {
        Ok(None) => {}
        Ok(Some(read)) => {
            read.report();
            without_room = read.without_room;
        }
        Err(why) => log(format!("ignored file \"{FILE}\": {why}")),
    }
    START.set(Some(Start {
        checkpoint: control.binding,
        without_room,
    }));
}

/// How many sessions were in a file.
#[derive(Default)]
struct Counts {
    restored: u64,
    /// `session_timeout.max_sessions` is lower than it was.
    without_room: u64,
}

fn read(shared: &'static Shared, binding: &Binding) -> Result<Option<Counts>, String> {
    let file = match File::open(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut read = Counts::default();
    for record in Records::open(file, binding).map_err(|why| why.to_string())? {
        let record = record.map_err(|why| why.to_string())?;
        match record {
            Record::Session(session) if shared.registry.restore(&session) => read.restored += 1,
            Record::Session(_) => read.without_room += 1,
            Record::Unrecorded(saved) => {
                if let Some(database) = databases::register(shared, Oid::from(saved.database)) {
                    database.restore_unrecorded(&saved.limits());
                }
            }
        }
    }
    Ok(Some(read))
}

impl Counts {
    fn report(&self) {
        let Self { restored, without_room } = self;
        log(format!(
            "restored the activity of {restored} sessions from file \"{FILE}\""
        ));
        if *without_room > 0 {
            let message = format!("session registry has no room for {without_room} sessions from file \"{FILE}\"");
            ErrorReport::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message, "")
                .set_hint("You might need to increase session_timeout.max_sessions.")
                .report(PgLogLevel::LOG);
        }
    }
}

/// The server accepts connections: removes the file.
pub fn consume() {
    match remove() {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let message = format!("could not remove file \"{FILE}\": {error}");
            ErrorReport::new(PgSqlErrorCode::ERRCODE_IO_ERROR, message, "")
                .set_detail(
                    "After a crash before the next checkpoint the file is read again, which does no harm. Later it is ignored.",
                )
                .report(PgLogLevel::LOG);
        }
    }
}

fn remove() -> io::Result<()> {
    // A postmaster that was killed while it wrote may have left it.
    let _ = fs::remove_file(UNFINISHED);
    fs::remove_file(FILE)?;
    File::open(DIRECTORY)?.sync_all()
}

#[pg_guard]
unsafe extern "C-unwind" fn on_exit(code: i32, _argument: Datum) {
    // SAFETY: plain reads. Child processes inherit the list of callbacks but empty it. A single-user server writes its checkpoint
    // whatever it ends with.
    if unsafe { pg_sys::IsUnderPostmaster || code != 0 && pg_sys::IsPostmasterEnvironment } {
        return;
    }
    let (Some(shared), Some(control), Some(start)) = (segment::get(), Control::read(), START.get()) else {
        return;
    };
    if control.binding == start.checkpoint {
        return;
    }
    let old = || {
        let file = File::open(FILE).ok();
        let records = file.and_then(|file| Records::open(file, &start.checkpoint).ok());
        records.into_iter().flatten().map_while(Result::ok)
    };
    let done = match control.state {
        pg_sys::DBState::DB_SHUTDOWNED => {
            let rest = (start.without_room > 0).then(old).into_iter().flatten();
            let rest = rest.filter(|record| match record {
                Record::Session(session) => !shared.registry.has_entry_for(session),
                Record::Unrecorded(_) => false,
            });
            let sessions = shared.registry.unsaved().map(Record::Session);
            write(&control.binding, unrecorded(shared).chain(sessions).chain(rest))
        }
        pg_sys::DBState::DB_SHUTDOWNED_IN_RECOVERY if old().next().is_some() => write(&control.binding, old()),
        _ => return,
    };
    if let Err(error) = done {
        let _ = fs::remove_file(UNFINISHED);
        log(format!("could not write file \"{FILE}\": {error}"));
    }
}

/// The limits that stand for expiries that no entry records.
fn unrecorded(shared: &'static Shared) -> impl Iterator<Item = Record> {
    let databases = shared.databases.iter().filter(|database| database.is_used());
    databases.filter_map(|database| {
        let limits = database.unrecorded_to_save()?;
        Some(Record::Unrecorded(SavedLimits::new(database.oid().into(), &limits)))
    })
}

fn write(binding: &Binding, records: impl Iterator<Item = Record>) -> io::Result<()> {
    let mut records = records.peekable();
    if records.peek().is_none() {
        return match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    // A postmaster that was killed may have left one that belongs to another user.
    let _ = fs::remove_file(UNFINISHED);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(UNFINISHED)?;
    snapshot::write(BufWriter::new(&file), binding, records)?;
    file.sync_all()?;
    fs::rename(UNFINISHED, FILE)?;
    File::open(DIRECTORY)?.sync_all()
}

/// What `pg_control` says about the cluster.
struct Control {
    state: pg_sys::DBState::Type,
    /// Its last checkpoint.
    binding: Binding,
}

impl Control {
    fn read() -> Option<Self> {
        // SAFETY: the answer is allocated in the current memory context, which the process has throughout.
        unsafe {
            let mut is_whole = false;
            let control = pg_sys::get_controlfile(pg_sys::DataDir, &mut is_whole);
            let control = control.as_ref().filter(|_| is_whole)?;
            Some(Self {
                state: control.state,
                binding: Binding {
                    system: control.system_identifier,
                    timeline: control.checkPointCopy.ThisTimeLineID,
                    checkpoint: control.checkPoint,
                },
            })
        }
    }
}

fn log(message: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "").report(PgLogLevel::LOG);
}
