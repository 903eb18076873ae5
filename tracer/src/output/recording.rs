//! Recordings: written by a thread of their own, read line by line.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Reader, anonymized, copy, fold};
pub use write::{RecordingPlan, Writers};
