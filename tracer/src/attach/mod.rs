//! Looking into processes that run already: nothing is stopped, signalled or changed, and nothing of theirs is opened that could
//! block. What is read comes as the same events that a launch gives.

mod observer;
mod refused;
mod targets;

pub use observer::{Begun, Observer};
pub use refused::{Refusal, refusal};
pub use targets::{NoTarget, go_commands, parse, resolve};
