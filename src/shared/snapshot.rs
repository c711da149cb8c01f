//! The registry over a clean restart: the postmaster writes it on its way out, and reads it when it starts.
//!
//! On its way out it is the last process, and `pg_control` says whether the shutdown was clean; only then is the file
//! written, bound to that very checkpoint. At the start, before anything is written to the cluster, `pg_control` still
//! says which checkpoint ended it: the file is read where it is the same, and removed in any case. Whatever goes wrong is
//! said in the log, and costs at most the activity since the last flush.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use session_timeout_core::registry::snapshot::{self, Binding, Record, Records};

use super::Shared;

/// Relative to the data directory, which is the postmaster's current one.
const FILE: &str = "pg_stat/inactive_session_timeout.snapshot";
const UNFINISHED: &str = "pg_stat/inactive_session_timeout.snapshot.tmp";
const DIRECTORY: &str = "pg_stat";

/// In the postmaster, when it has made the shared memory: takes in what the last shutdown left, and sees to it that this
/// one leaves something.
pub fn start(shared: &Shared) {
    // SAFETY: plain reads of the process's state. The postmaster empties the list of callbacks when it restarts after a
    // crash, and comes here again.
    unsafe {
        if pg_sys::IsUnderPostmaster || !pg_sys::IsPostmasterEnvironment {
            return;
        }
        pg_sys::on_shmem_exit(Some(on_exit), Datum::from(0_usize));
    }
    match take_in(shared) {
        Ok(None) => {}
        Ok(Some(read)) => read.report(),
        Err(why) => say(format!("ignored \"{FILE}\": {why}")),
    }
}

fn take_in(shared: &Shared) -> Result<Option<Read>, String> {
    let file = match File::open(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // Removed first: if reading it brought the server down, it would not do so twice.
    remove(FILE).map_err(|error| format!("it could not be removed: {error}"))?;
    let binding = clean_shutdown().ok_or("the server was not shut down cleanly")?;
    let records = Records::open(file, &binding).map_err(|why| why.to_string())?;
    let mut read = Read::default();
    for record in records {
        let record = record.map_err(|why| why.to_string())?;
        *(if shared.registry.restore(&record) {
            &mut read.restored
        } else {
            &mut read.without_room
        }) += 1;
    }
    Ok(Some(read))
}

/// How many sessions were in a file.
#[derive(Default)]
struct Read {
    restored: u64,
    /// `session_timeout.max_sessions` is lower than it was.
    without_room: u64,
}

impl Read {
    fn report(&self) {
        let Self { restored, without_room } = self;
        say(format!("read the activity of {restored} sessions from \"{FILE}\""));
        if *without_room > 0 {
            let message = format!("the session registry has no room for {without_room} sessions of \"{FILE}\"");
            ErrorReport::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message, "")
                .set_hint("Raise session_timeout.max_sessions.")
                .report(PgLogLevel::LOG);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_exit(code: i32, _argument: Datum) {
    // SAFETY: a plain read. Children inherit the callback's list but empty it.
    if code != 0 || unsafe { pg_sys::IsUnderPostmaster } {
        return;
    }
    let (Some(shared), Some(binding)) = (super::get(), clean_shutdown()) else {
        return;
    };
    if let Err(error) = leave(&binding, shared.registry.unsaved()) {
        let _ = fs::remove_file(UNFINISHED);
        say(format!("could not write \"{FILE}\": {error}"));
    }
}

fn leave(binding: &Binding, records: impl Iterator<Item = Record>) -> io::Result<()> {
    let mut records = records.peekable();
    if records.peek().is_none() {
        return Ok(());
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(UNFINISHED)?;
    snapshot::write(BufWriter::new(&file), binding, records)?;
    file.sync_all()?;
    fs::rename(UNFINISHED, FILE)?;
    File::open(DIRECTORY)?.sync_all()
}

fn remove(file: &str) -> io::Result<()> {
    fs::remove_file(file)?;
    File::open(DIRECTORY)?.sync_all()
}

/// Which checkpoint ended the cluster; `None` where it was not shut down cleanly, or is a standby.
fn clean_shutdown() -> Option<Binding> {
    // SAFETY: the answer is allocated in the current memory context, which the postmaster has throughout.
    unsafe {
        let mut is_whole = false;
        let control = pg_sys::get_controlfile(pg_sys::DataDir, &mut is_whole);
        let control = control.as_ref().filter(|_| is_whole)?;
        (control.state == pg_sys::DBState::DB_SHUTDOWNED).then_some(Binding {
            system: control.system_identifier,
            timeline: control.checkPointCopy.ThisTimeLineID,
            checkpoint: control.checkPoint,
        })
    }
}

fn say(message: String) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message, "").report(PgLogLevel::LOG);
}
