//! Capture by eBPF: programs on the kernel's own tracepoints and on functions of libc write records into a ring buffer, and
//! nothing is ever stopped. What it costs: `cargo xtask bench`.

mod btf;
mod calls;
mod events;
mod libraries;
mod load;
mod machine;
mod probes;
mod reader;
mod wire;

pub use load::{Error, Loaded, Verified, load};
pub use machine::Version;
pub use reader::{Asks, Reader, Run};
