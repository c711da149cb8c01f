//! Every interleaving of a few actors over one session: who gets which answer, and when.
//!
//! An actor is a list of steps. Between any two of them any other actor may step. A step is what the registry does under one
//! lock, or one look at the row, or one commit. The explorer runs every order of steps there is. During and after each run it
//! checks what the contract promises.

mod checker;
mod crowd;
mod explorer;
mod transactions;
mod worker;
mod world;

mod activity;
mod closing;
mod expiry;
