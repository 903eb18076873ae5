//! Goroutines of a Go process, read from its memory: it is not stopped, and nothing is asked of it.
//!
//! A thread of a Go program in `futex` or `epoll_wait` says nothing about what the program waits for, since the runtime parks
//! goroutines and not threads. The runtime's own variables say it. They are found through the program's symbols or by their form, for
//! Go 1.18 and later; there is no DWARF in the go command, and none is needed.
//!
//! What is read is hostile: it may be garbage, change while it is read, or be made to mislead. Every number has a bound, and what does
//! not have the expected form is left out or makes the whole process [`Unreadable`].

mod arguments;
mod buildinfo;
mod elf;
mod goroutines;
mod interrupted;
mod layout;
mod machines;
mod meaning;
mod memory;
mod module;
mod netpoll;
mod pclntab;
mod place;
pub mod probes;
mod reading;
mod reasons;
mod recorded;
mod unwind;

pub use buildinfo::BuildInfo;
pub use elf::{Area, Machine as Processor, Symbols};
pub use goroutines::Status;
pub use interrupted::Interrupted;
pub use machines::Machine;
pub use meaning::{Meaning, Value};
pub use memory::{PAGE, Piece, ReadMemory};
pub use netpoll::{Direction, Registration, WaitsFor};
pub use place::Binary;
pub use reading::{Extras, Frame, Goroutine, Reading, read};
pub use recorded::{Recorded, Recorder};

pub(crate) use place::Place;

/// Why goroutines cannot be read; what the kernel knows is still true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// A sentence without its end, about the program.
    pub why: String,
}

impl Unreadable {
    pub(crate) fn new(why: impl Into<String>) -> Unreadable {
        Unreadable { why: why.into() }
    }
}
