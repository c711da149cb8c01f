//! Any list of ignored urls against any url: `list NUL url`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| session_timeout_fuzz::bodies::url_list(data));
