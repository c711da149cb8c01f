//! From a call by PostgreSQL to a Rust function and back.
//!
//! Every SQL function of the extension is declared with [`sql_function!`]. It gives the body its arguments as a
//! [`Call`], turns an [`Error`] into PostgreSQL's, and sees to it that no error raised meanwhile, ours or
//! PostgreSQL's own, writes its statement or context lines to the log: both may hold a session id as a literal.

use std::ffi::c_void;
use std::ptr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, pg_sys, varlena};
use session_timeout_core::digest::{Digest, MAX_SID_BYTES};

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
            unsafe { $crate::entry::run(fcinfo, $body) }
        }
    };
}
pub(crate) use sql_function;

/// What a SQL function answers: a value, or NULL.
pub type Answer = Result<Option<pg_sys::Datum>, Error>;

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

    /// The digest of a session id argument; `None` for NULL and empty, which are no session's.
    ///
    /// # Errors
    /// 22023 where it has more than 1024 bytes.
    pub fn digest(&self, n: usize) -> Result<Option<Digest>, Error> {
        match self.text(n) {
            None | Some([]) => Ok(None),
            Some(sid) if sid.len() > MAX_SID_BYTES => Err(Error::SidTooLong { bytes: sid.len() }),
            Some(sid) => Ok(Some(Digest::of(sid))),
        }
    }

    /// The trigger that calls: one on `table`, which the install script made. Columns are read by number, so that no other
    /// table will do, whoever has made a trigger on it.
    ///
    /// # Errors
    /// 39P01 where it is no trigger, or one on another table.
    pub fn trigger(&self, function: &'static str, table: pg_sys::Oid) -> Result<&pg_sys::TriggerData, Error> {
        // SAFETY: a node in `context` says by its tag what it is; a trigger's relation is open.
        unsafe {
            let context = (*self.fcinfo).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Error::NotATrigger { function });
            }
            let trigger = &*context.cast::<pg_sys::TriggerData>();
            if (*trigger.tg_relation).rd_id != table {
                return Err(Error::NotATrigger { function });
            }
            Ok(trigger)
        }
    }

    /// The row type that the function returns, ready to make a value of.
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

/// The bytes of a `text` value, detoasted.
///
/// # Safety
/// `datum` is a valid `text` or `bytea`; the slice is valid as long as the value, or the current memory context.
pub unsafe fn text_bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    let value = datum.cast_mut_ptr();
    // SAFETY: by the caller's promise. What is neither compressed nor kept elsewhere is as it is to be.
    unsafe {
        let is_plain = !varlena::varatt_is_4b_c(value) && !varlena::varatt_is_1b_e(value);
        varlena::varlena_to_byte_slice(if is_plain {
            value
        } else {
            pg_sys::pg_detoast_datum_packed(value)
        })
    }
}

/// Runs the body of a SQL function.
///
/// # Safety
/// `fcinfo` is the one that PostgreSQL passed.
pub unsafe fn run(fcinfo: pg_sys::FunctionCallInfo, body: fn(Call) -> Answer) -> pg_sys::Datum {
    // SAFETY: guarded is the frame behind which nothing needs dropping.
    unsafe { quietly(|| guarded(fcinfo, body)) }
}

/// Calls a guarded function such that no error which it raises, or which passes through it, writes the statement to the
/// log.
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
unsafe extern "C-unwind" fn guarded(fcinfo: pg_sys::FunctionCallInfo, body: fn(Call) -> Answer) -> pg_sys::Datum {
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

/// Called while a message is being made, of whatever level.
unsafe extern "C-unwind" fn keep_out_of_the_log(_: *mut c_void) {
    // SAFETY: there is a message being made, of which these set two flags; neither raises.
    unsafe {
        pg_sys::errhidestmt(true);
        pg_sys::errhidecontext(true);
    }
}
