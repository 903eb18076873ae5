//! What captures. A backend says what happened, and what is true now, as events and nothing else: it never prints, never
//! judges.

pub mod clock;
pub mod ebpf;
pub mod gosettings;
mod messages;
pub mod proc;
pub mod ptrace;
pub mod queue;
mod said;
