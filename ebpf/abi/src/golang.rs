//! Probes on functions of Go programs: what a program in the kernel is told to read, and what it has read.
//!
//! All of it is data. A point is one function of one binary; user space finds where it lies, what its arguments are and how their
//! parts are reached (gmtrace-core, `golang::probes`), and the programs know nothing of Go but where its goroutine is.

use crate::Head;
use core::mem::size_of;

/// Points that there is room for: some 30 functions of each different Go binary of a tree.
pub const POINTS: u32 = 512;
/// Values that are read at an entry, and as many at a return.
pub const VALUES: usize = 8;
/// Steps of the way to a value.
pub const STEPS: usize = 5;
/// Bytes of one text that are kept.
pub const TEXT: usize = 256;
/// What is read at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Read {
    /// Nothing: there is no such value, nor any behind it.
    Nothing,
    /// Two words, of which the value may be only a part.
    Words,
    /// A pointer and a length, and what is there.
    Text,
}

/// One value, and the way to it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Value {
    /// A [`Read`].
    pub read: u8,
    /// 1 where the way begins in the register that was kept at the entry; otherwise 0.
    pub kept: u8,
    /// Steps of `way` that are used.
    pub steps: u8,
    /// The register that the way begins in, counted in words of `struct pt_regs`; the second word of a value that has two.
    pub register: [u8; 2],
    /// Whether the value itself is in the registers, and there is no way to go.
    pub direct: u8,
    /// Bytes from the start to the first place.
    pub offset: u16,
    /// At each step a pointer is read from the place, and this is added: the next place.
    pub way: [u16; STEPS],
}

/// A function of a binary.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Point {
    /// Where the goroutine's stack ends in its structure.
    pub stack_end: u16,
    /// Where its number is.
    pub goid: u16,
    /// The register whose value at the entry is kept for the return.
    pub kept: u8,
    /// Whether the entry is told.
    pub tells_entry: u8,
    /// Whether the return is told.
    pub tells_return: u8,
    /// Nothing.
    pub unused: u8,
    /// What is read at the entry.
    pub entry: [Value; VALUES],
    /// What is read at the return.
    pub at_return: [Value; VALUES],
}

/// Tells one call from another, while it has not returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Which {
    /// The address of its goroutine.
    pub goroutine: u64,
    /// How deep on the goroutine's stack.
    pub depth: u64,
    /// The process, by the id that gmtrace knows.
    pub process: u32,
    /// The point.
    pub point: u32,
}

/// A call that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Begun {
    /// The goroutine's number: its structure is used again when it has ended, in a panic for one, with no return.
    pub goid: u64,
    /// When, in nanoseconds on CLOCK_MONOTONIC.
    pub at: u64,
    /// The register that is kept.
    pub kept: u64,
}

/// A value that was read.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Got {
    /// The first word; of a text its length.
    pub word: u64,
    /// The second word, without its highest bit; of a text how many bytes are kept.
    pub second: u64,
}

/// What is added to [`Got::second`] where a value could not be read.
pub const UNREADABLE: u64 = 1 << 63;

/// A call: its beginning, or its end. What is not written of it, the texts that there are not, is left as it was.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Call {
    /// How it begins.
    pub head: Head,
    /// The point.
    pub point: u32,
    /// How long ago the call began, in microseconds; 0 at its beginning, and where that is not known.
    pub took_us: u32,
    /// The goroutine.
    pub goid: u64,
    /// How deep on its stack: the same for the beginning and the end of a call.
    pub depth: u64,
    /// What was read.
    pub values: [Got; VALUES],
    /// The texts among them.
    pub texts: [[u8; TEXT]; VALUES],
}

const _: () = {
    assert!(size_of::<Value>() == 18);
    assert!(size_of::<Which>() == 24);
    assert!(size_of::<Point>() == 8 + 2 * VALUES * 18);
    assert!(size_of::<Call>() == 48 + VALUES * 16 + VALUES * TEXT);
};
