//! eBPF programs: what they leave behind, what they lose, what they see, and what they do to whom they watch.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

mod births;
mod kernel;
mod kills;
mod libc;
mod losses;
mod maps;
mod memory;
mod neighbours;
mod obstacles;
mod order;
mod paths;
mod programs;
mod stacks;
mod watching;
