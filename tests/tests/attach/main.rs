//! `gmtrace -p` and `gmtrace ps`: options, refusals, privileges, and that nobody is disturbed. What is found is proven in the zoo.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests read as sentences, and may end by a panic"
)]

mod containers;
mod disturbance;
mod options;
mod parts;
mod ps;
mod refusals;
mod strangers;
