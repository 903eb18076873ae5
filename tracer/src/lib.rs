//! The parts of gmtrace that ask the operating system: capture, launch and attach. A library only so that examples and tests can use
//! them; the product is the binary.
#![doc(hidden)]

pub mod attach;
pub mod bounded;
pub mod capture;
pub mod launch;
