//! The settings as gmtrace computes them, beside what the go command on PATH says of itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

mod fixture;
mod live;
mod nothing;
mod resolving;
mod web_proxy;
