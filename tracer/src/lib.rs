//! The parts of gmtrace that ask the operating system: capture and launch. A library only so that examples and tests can use
//! them; the product is the binary.
#![doc(hidden)]

pub mod bounded;
pub mod capture;
pub mod launch;
