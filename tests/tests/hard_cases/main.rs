//! The hard cases of ptrace tracers, each against a fixture that does the thing: bare and under gmtrace, the same output, the
//! same end, the same signals, and nobody left stopped or left behind.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

mod births;
mod deaths;
mod exit_status;
mod foreign;
mod leftovers;
mod on_a_terminal;
mod privilege;
mod signals;
mod streams;
mod threads;
mod transparency;
mod waits;
