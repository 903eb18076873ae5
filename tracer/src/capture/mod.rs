//! What captures. A backend says what happened, and what is true now, as events and nothing else: it never prints, never
//! judges.

pub mod clock;
pub mod gosettings;
pub mod proc;
pub mod ptrace;
pub mod queue;
