//! What the eBPF programs of gmtrace and its user side say to each other: the records of the ring buffer, the numbers that are
//! given to the programs when they are loaded, and the names of programs and maps.
//!
//! Records are `repr(C)` in the machine's own byte order. Each begins with a [`Head`]; its [`Kind`] says what the record is. Of
//! records with text, only the part that is used is to be looked at: the rest is whatever lay there.
#![no_std]

pub mod golang;
mod layout;
mod record;

pub use layout::{Number, Offset};
pub use record::*;

/// The names of maps, as user space finds them.
pub mod maps {
    /// The ring buffer of what the tree is made of ([`Kind::is_rare`](crate::Kind::is_rare)).
    pub const RARE: &str = "RARE";
    /// The ring buffer of everything else: a storm of it leaves the other one alone.
    pub const MANY: &str = "MANY";
    /// [`Counts`](crate::Counts) of each [`Kind`](crate::Kind), for each CPU.
    pub const COUNTS: &str = "COUNTS";
    /// Process ids, as gmtrace sees them, that belong to the tree and were not seen yet.
    pub const SEEDS: &str = "SEEDS";
    /// The tree: process ids of the first pid namespace.
    pub const TREE: &str = "TREE";
    /// The connections of the tree.
    pub const CONNECTIONS: &str = "CONNECTIONS";
    /// Look-ups of libc that have begun.
    pub const LOOKUPS: &str = "LOOKUPS";
    /// What is probed in Go programs ([`golang::Point`](crate::golang::Point)).
    pub const POINTS: &str = "POINTS_MAP";
    /// Calls of Go functions that have begun.
    pub const CALLS: &str = "CALLS";
}

/// The names of the globals that are set when the programs are loaded.
pub mod globals {
    /// `[u32; Offset::COUNT]`.
    pub const OFFSETS: &str = "OFFSETS";
    /// `[u32; Number::COUNT]`.
    pub const NUMBERS: &str = "NUMBERS";
}

/// What is not there on this kernel: an [`Offset`], or the [`Number`] of a system call.
pub const MISSING: u32 = u32::MAX;
