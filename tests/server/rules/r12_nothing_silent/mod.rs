//! Rule 12: nothing is accepted and then silently not done.
//!
//! An entry, a key or an argument that can have no effect is refused, or warned of, when it is written. Tables that cannot be
//! used any more are an error that says so. The files here prove it of parameters and limits, of altered tables, and of an
//! install without preload.

mod altered_tables;
mod values;
mod warnings;
