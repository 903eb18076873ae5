//! A launch is two processes.
//!
//! The **front** is what the shell started: it passes signals on and ends as the command does, the moment the command does.
//! The **tracer**, its child, starts the command, attends to its stops, and outlives the front where the command left
//! children behind: under a seccomp filter without a tracer their system calls would fail (seccomp(2), SECCOMP_RET_TRACE).
//! The **watch** runs on a thread of the tracer and may be slow.
//!
//! One signal is not passed on: SIGSTOP to the front alone stops the front, and the command runs on. It can be neither caught nor
//! blocked (signal(7)), so the front does not see it; SIGTSTP is passed on. A SIGSTOP for the group reaches the command by itself.

mod aside;
mod ended;
mod forward;
mod front;
mod held;
mod keeper;
mod link;
mod orphans;
mod tracer;
mod untraced;

pub use aside::{Told, aside, when_told_to_end};
pub use ended::Ended;
pub use held::Held;

use crate::capture::clock::Clock;
use crate::capture::ebpf::Loaded;
use crate::capture::ptrace::{PendingLocks, Plan, WhyNot, sys};
use crate::capture::queue::EventReceiver;
use gmtrace_core::units::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the watch is given. It runs in the tracer process, where descriptors 0 and 1 are `/dev/null` and inherited ones are
/// closed; what it needs of those must be opened (close-on-exec) before [`run`].
pub struct WatchSide {
    /// What happens. It ends (disconnects) after the command's own [`ProcessExit`](gmtrace_core::event::What::ProcessExit).
    /// Read it with `try_iter` every few milliseconds: a sender that must wake a sleeping reader costs the command more.
    pub events: EventReceiver,
    /// The command.
    pub command: Command,
    /// How the command is captured.
    pub capture: Capture,
    /// Whether no_new_privs had to be set: setuid programs below the command lose their privileges.
    pub no_new_privs: bool,
    /// Lock requests whose end the sampler may see first.
    pub locks: PendingLocks,
    /// Number of ptrace stops so far.
    pub stops: Arc<AtomicU64>,
    /// The process that the shell waits for.
    pub front: FrontSide,
    /// The clock of the events.
    pub clock: Clock,
}

/// How a command is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// By ptrace.
    Ptrace,
    /// By eBPF, but for what this kernel cannot tell (a sentence each).
    Ebpf {
        /// What is not seen.
        unseen: Vec<String>,
    },
    /// Not at all; and why.
    Proc(WhyNot),
}

/// The command, for those who are not its tracer.
#[derive(Debug, Clone)]
pub struct Command {
    pid: Pid,
    process: Arc<Held>,
}

impl Command {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal. ESRCH once it has been waited for.
    pub fn kill(&self, signal: i32) -> io::Result<()> {
        self.process.kill(signal)
    }
}

/// The way to the front.
#[derive(Debug, Clone)]
pub struct FrontSide {
    link: Arc<link::Link>,
    gone: Arc<AtomicBool>,
    said: Arc<AtomicBool>,
}

impl FrontSide {
    /// `status` replaces the command's own (124 after a timeout, 3 for `--fail-on-stall`). Say it as soon as it is known: the
    /// front waits for the command's end and for what may take long not at all. The last saying holds. Never blocks.
    pub fn status(&self, status: u8) {
        self.say_status(status);
    }

    /// Nothing more is to be done for the user: the front may end as soon as the command has. When the watch returns
    /// without having said so, it is said for it.
    pub fn done(&self) {
        self.say_done();
    }

    /// Whether the front has ended: nobody waits any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// A copy (close-on-exec) of a descriptor that was inherited: [`run`] closes those in the tracer.
///
/// # Errors
/// As fcntl(2): EBADF where there is none.
pub fn keep_descriptor(number: i32) -> io::Result<OwnedFd> {
    sys::duplicate(number).map_err(io::Error::from)
}

/// Runs a command as planned, with `watch` beside it. Call it while this process has one thread. Returns in the front only,
/// when all is over; [`Ended::mirror`] then ends it as the command ended.
///
/// # Errors
/// What kept gmtrace from starting anything.
/// With `probes`, it is watched by these.
pub fn run<W>(plan: Plan, probes: Option<Loaded>, clock: Clock, watch: W) -> io::Result<Ended>
where
    W: FnOnce(WatchSide) + Send + 'static,
{
    front::run(plan, probes, clock, watch)
}
