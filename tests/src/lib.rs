//! The parts that gmtrace's tests are made of: servers with faults that can be switched on, networks of their own to put them
//! into, the real go command with an environment that touches nothing of the user's; fixtures, and the harness that launches
//! them bare and under gmtrace.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may end by a panic; nothing here runs outside of tests"
)]

pub mod cgroup;
pub mod disk;
pub mod fixtures;
pub mod go;
pub mod harness;
pub mod holder;
pub mod lab;
pub mod local_proxy;
pub mod processes;
pub mod recording;
pub mod servers;
pub mod terminal;
pub mod zoo;
