//! Capture by ptrace(2): a seccomp filter chooses a few rare system calls, only those stop, and one thread attends to the
//! stops. What it costs: `cargo xtask bench`.

mod arch;
mod birth;
mod engine;
mod hidden;
mod locks;
mod memory;
mod pending;
mod pidfd;
mod plan;
mod process;
pub(crate) mod program;
mod rounds;
mod said;
mod seccomp;
mod serve;
mod signals;
mod sockets;
mod spawn;
mod stop;
pub(crate) mod sys;
mod tracee;
mod trap;
mod window;

pub use engine::{Change, Ending, Engine, Start, Told};
pub use pending::{PendingLock, PendingLocks};
pub use plan::{CaptureMode, Credentials, Plan, WhyNot};
pub use rounds::Rounds;
pub use signals::{SeenSignals, name as signal_name};
pub use spawn::{Report, Spawned, spawn};
pub(crate) use stop::{Stop, classify};
pub use sys::SignalInfo;
