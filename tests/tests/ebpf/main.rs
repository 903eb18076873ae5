//! What eBPF programs leave behind, and what they lose: nothing, and nothing untold.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

mod kernel;
mod kills;
mod losses;
mod maps;
