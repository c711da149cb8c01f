//! Calls of SQL functions: from PostgreSQL to a Rust function and back.
//!
//! [`sql_function!`] declares each SQL function of the extension. The Rust function gets its arguments as a [`Call`], and
//! its [`Error`] becomes PostgreSQL's. No error that is raised meanwhile, ours or PostgreSQL's own, writes its statement or
//! context lines to the log: both may hold a session id as a literal. So may the statements that a deadlock's detail quotes
//! there.

use std::ffi::{c_int, c_void};
use std::ptr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, pg_sys};
use session_timeout_core::digest::{Digest, MAX_SID_BYTES};

use super::datum::text_bytes;
use super::shape::TableRef;
use crate::error::Error;

/// Declares a SQL function: the symbol that `CREATE FUNCTION … AS 'MODULE_PATHNAME', 'symbol'` names, the record that
/// PostgreSQL looks up beside it (`pg_finfo_` and the symbol), and the Rust function behind it.
macro_rules! sql_function {
    ($symbol:ident, $finfo:ident, $body:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $finfo() -> &'static pgrx::pg_sys::Pg_finfo_record {
            static V1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &V1
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(fcinfo: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            // SAFETY: PostgreSQL calls a version-1 function with a valid fcinfo.
            unsafe { $crate::pg::fcall::run(fcinfo, $body) }
        }
    };
}
pub(crate) use sql_function;

/// What a SQL function returns: a value, or `None` for NULL.
pub type Returned = Result<Option<pg_sys::Datum>, Error>;

/// One call of a SQL function.
#[derive(Clone, Copy)]
pub struct Call {
    fcinfo: pg_sys::FunctionCallInfo,
}

impl Call {
    /// The argument as PostgreSQL passed it; `None` for NULL.
    pub fn datum(&self, n: usize) -> Option<pg_sys::Datum> {
        // SAFETY: fcinfo is valid for the call, and the SQL declaration says how many arguments there are.
        unsafe {
            debug_assert!(n < (*self.fcinfo).nargs as usize);
            let arg = (*self.fcinfo).args.as_ptr().add(n);
            (!(*arg).isnull).then_some((*arg).value)
        }
    }

    /// The bytes of a `text` argument, in the database's encoding; `None` for NULL.
    pub fn text(&self, n: usize) -> Option<&[u8]> {
        // SAFETY: the SQL declaration says that the argument is a text; the detoasted value lives as long as the call.
        self.datum(n).map(|datum| unsafe { text_bytes(datum) })
    }

    /// The digest of a session id argument; `None` for NULL and for an empty one, which name no session.
    ///
    /// # Errors
    /// 22023 if it has more than 1024 bytes.
    pub fn digest(&self, n: usize) -> Result<Option<Digest>, Error> {
        match self.text(n) {
            None | Some([]) => Ok(None),
            Some(sid) if sid.len() > MAX_SID_BYTES => Err(Error::SidTooLong { bytes: sid.len() }),
            Some(sid) => Ok(Some(Digest::of(sid))),
        }
    }

    /// The trigger on `table` that calls the function. Columns are read by number, so a trigger that somebody made on
    /// another table is refused.
    ///
    /// # Errors
    /// 39P01 if the caller is no trigger, or a trigger on another table.
    pub fn trigger(&self, function: &'static str, table: TableRef) -> Result<&pg_sys::TriggerData, Error> {
        // SAFETY: a node in `context` says by its tag what it is; a trigger's relation is open.
        unsafe {
            let context = (*self.fcinfo).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Error::NotATrigger { function });
            }
            let trigger = &*context.cast::<pg_sys::TriggerData>();
            if (*trigger.tg_relation).rd_id != table.oid {
                return Err(Error::NotATrigger { function });
            }
            Ok(trigger)
        }
    }

    /// The row type that the function returns.
    pub fn result_row_type(&self) -> pg_sys::TupleDesc {
        let mut desc = ptr::null_mut();
        // SAFETY: declared in SQL to return a named composite type, so that its descriptor is found.
        unsafe {
            let class = pg_sys::get_call_result_type(self.fcinfo, ptr::null_mut(), &mut desc);
            assert_eq!(
                class,
                pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE,
                "declared to return a row"
            );
            pg_sys::BlessTupleDesc(desc)
        }
    }
}

/// Runs the body of a SQL function.
///
/// # Safety
/// `fcinfo` is the one that PostgreSQL passed.
pub unsafe fn run(fcinfo: pg_sys::FunctionCallInfo, body: fn(Call) -> Returned) -> pg_sys::Datum {
    // SAFETY: guarded is a guarded function; nothing that needs dropping is captured.
    unsafe { quietly(|| guarded(fcinfo, body)) }
}

/// Calls a guarded function. No error that it raises, or that passes through it, writes the statement to the log.
///
/// # Safety
/// An error leaves by longjmp: the closure only calls a `#[pg_guard]` function, and captures nothing that needs dropping.
pub unsafe fn quietly<R>(guarded: impl FnOnce() -> R) -> R {
    // SAFETY: the callback's record outlives the call, and is taken off the stack after it; whoever catches an error
    // resets the stack.
    unsafe {
        let mut quiet = pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(keep_out_of_the_log),
            arg: ptr::null_mut(),
        };
        pg_sys::error_context_stack = &mut quiet;
        let result = guarded();
        pg_sys::error_context_stack = quiet.previous;
        result
    }
}

// Only ever called from Rust: the guard asks for the ABI.
#[allow(improper_ctypes_definitions)]
#[pg_guard]
unsafe extern "C-unwind" fn guarded(fcinfo: pg_sys::FunctionCallInfo, body: fn(Call) -> Returned) -> pg_sys::Datum {
    match body(Call { fcinfo }) {
        Ok(answer) => {
            // SAFETY: fcinfo is valid for the call.
            unsafe { (*fcinfo).isnull = answer.is_none() };
            answer.unwrap_or(pg_sys::Datum::from(0_usize))
        }
        Err(error) => {
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            unreachable!("an ERROR does not return")
        }
    }
}

/// An error context callback: called for every message, of any level.
unsafe extern "C-unwind" fn keep_out_of_the_log(_: *mut c_void) {
    // SAFETY: there is a current message, and these set two flags of it; neither raises.
    unsafe {
        pg_sys::errhidestmt(true);
        pg_sys::errhidecontext(true);
        if pg_sys::geterrcode() == PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED as c_int {
            log_the_clients_detail();
        }
    }
}

/// Replaces the detail that is for the log alone by the one that the client gets: PostgreSQL's of a deadlock differ in that
/// the log's adds the statements of all processes.
///
/// # Safety
/// There is a current message, of a transaction.
unsafe fn log_the_clients_detail() {
    // SAFETY: by the caller's promise. The copy is made outside the context that is reset with the message, as
    // CopyErrorData asks for; errdetail_log copies the text.
    unsafe {
        let context = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
        let message = pg_sys::CopyErrorData();
        pg_sys::MemoryContextSwitchTo(context);
        if !(*message).detail_log.is_null() && !(*message).detail.is_null() {
            pg_sys::errdetail_log(c"%s".as_ptr(), (*message).detail);
        }
        pg_sys::FreeErrorData(message);
    }
}
