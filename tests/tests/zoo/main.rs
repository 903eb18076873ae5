//! The hang zoo: real commands, made to hang in known ways, and the one right answer to each.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

mod chains;
mod children;
mod commands;
mod connections;
mod dead_disks;
mod healthy;
mod helpers;
mod http;
mod http2;
mod locks;
mod losses;
mod names;
mod other_programs;
mod parity;
mod parity_of_faults;
mod parts;
mod questions;
mod reports;
mod routes;
mod settings;
mod system;
mod tls;
