//! Any parameter row, and any text as a time: `key NUL value`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| session_timeout_fuzz::bodies::param(data));
