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
/// Registers that a value may begin in: more than any machine has in its `struct pt_regs` before what is no register.
pub const REGISTERS: u32 = 34;

/// Where the way to a value begins; [`Value::offset`] is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Start {
    /// In a register.
    Register,
    /// In the register that was kept at the entry.
    Kept,
    /// At the stack pointer.
    Stack,
}

/// What is read at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Read {
    /// Nothing: there is no such value.
    Nothing,
    /// A number of eight bytes.
    Word,
    /// Of one byte.
    Byte,
    /// Of two.
    Half,
    /// A pointer and a length.
    Text,
    /// Two words.
    Pair,
    /// 255 bytes, and how many of them are used in the byte behind.
    Name,
}

/// One value, and the way to it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Value {
    /// A [`Read`].
    pub read: u8,
    /// A [`Start`].
    pub start: u8,
    /// Steps of `way` that are used.
    pub steps: u8,
    /// The register, counted in words of `struct pt_regs`; the second word of a value that has two.
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
    /// Whether only calls are told whose first value at the entry is the number `only`.
    pub filtered: u8,
    /// Whether the entry is told.
    pub tells_entry: u8,
    /// Whether the return is told.
    pub tells_return: u8,
    /// See `filtered`.
    pub only: u64,
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
    /// The number; of a text its length, of a pair its first word.
    pub word: u64,
    /// Of a pair its second word; of a text how many bytes are kept.
    pub second: u64,
}

/// What is added to [`Got::second`] where a value could not be read.
pub const UNREADABLE: u64 = 1 << 63;

/// A call: its beginning, or its end. `N` is [`VALUES`] where there is a text among its values, and otherwise 0: the length of the
/// record tells.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Call<const N: usize> {
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
    pub texts: [[u8; TEXT]; N],
}

const _: () = {
    assert!(size_of::<Value>() == 18);
    assert!(size_of::<Which>() == 24);
    assert!(size_of::<Point>() == 16 + 2 * VALUES * 18);
    assert!(size_of::<Call<0>>() == 48 + VALUES * 16);
    assert!(size_of::<Call<VALUES>>() == 48 + VALUES * 16 + VALUES * TEXT);
};
