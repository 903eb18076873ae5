//! Capture by eBPF: programs on the kernel's own tracepoints and on functions of libc write records into a ring buffer, and
//! nothing is ever stopped. What it costs: `cargo xtask bench`.

mod btf;
mod calls;
mod events;
mod failures;
mod libraries;
mod load;
mod machine;
mod preflight;
mod probes;
mod programs;
mod reader;
mod requests;
mod sys;
mod wire;

use std::path::Path;

pub use load::{Error, Loaded, Verified};
pub use machine::Version;
pub use preflight::Refusal;
pub use reader::{Asks, Reader, Run};

/// Loads the programs, where that is possible here.
///
/// # Errors
/// Why not, with what to try.
pub fn load() -> Result<Loaded, Refusal> {
    with(load::load)
}

/// Likewise, and makes ready for a command, whose program this is if it is a go command. While it runs there are more threads, of which
/// the kernel may still list one when it is over.
///
/// # Errors
/// Why not, with what to try.
pub fn load_for(go: Option<&Path>) -> Result<Loaded, Refusal> {
    with(|kernel| load::load_for(kernel, go))
}

fn with(load: impl FnOnce(Version) -> Result<Loaded, Error>) -> Result<Loaded, Refusal> {
    let kernel = Version::running();
    preflight::check(kernel)?;
    let loaded = preflight::with_memory(kernel, || load(kernel));
    loaded.map_err(|why| Refusal::Refused(why.to_string()))
}
