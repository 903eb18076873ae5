//! A thread that is stopped. The value is made when wait(2) reports a stop and used up by what lets the thread go on, so
//! that a request to a running thread does not compile.

use super::sys::{self, SignalInfo};
use gmtrace_core::units::Tid;
use nix::errno::Errno;

/// The thread is no longer there, or no longer stopped: SIGKILL ends a stop at any moment (ptrace(2), "Death under ptrace").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// The one place where a failed request is judged. ESRCH is a thread that was killed meanwhile; the other errors that
/// ptrace(2) lists for these requests (EIO, EINVAL) mean the same here: nothing can be learned from this stop any more.
fn alive<T>(result: Result<T, Errno>) -> Result<T, Gone> {
    result.map_err(|errno| {
        if errno != Errno::ESRCH {
            tracing::debug!(%errno, "ptrace request failed");
        }
        Gone
    })
}

/// How far a thread may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// To the next stop that is bound to come.
    Stop,
    /// To the next entry or exit of a system call.
    Syscall,
}

/// A stopped thread.
#[derive(Debug)]
#[must_use = "a stopped thread that nobody resumes hangs"]
pub(super) struct Stopped {
    tid: i32,
}

/// A system call as PTRACE_GET_SYSCALL_INFO tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// At its entry (PTRACE_SYSCALL).
    Entry(Entry),
    /// At its entry, trapped by the filter, with the filter's data.
    Trapped(Entry, u16),
    /// At its exit: the result, negative errno for an error.
    Exit(i64),
    /// Not in a system call's stop.
    None,
}

/// A system call that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// AUDIT_ARCH_*.
    pub arch: u32,
    /// Its number.
    pub nr: u64,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Stopped {
    /// A thread that wait(2) has just reported as stopped.
    pub(super) fn seen(tid: i32) -> Stopped {
        Stopped { tid }
    }

    /// Its id.
    pub(super) fn tid(&self) -> i32 {
        self.tid
    }

    /// Its id, as a unit.
    pub(super) fn id(&self) -> Tid {
        Tid(self.tid)
    }

    /// Lets it run, with this signal delivered (0: none).
    pub(super) fn resume(self, until: Until, signal: i32) -> Result<(), Gone> {
        let request = match until {
            Until::Stop => libc::PTRACE_CONT,
            Until::Syscall => libc::PTRACE_SYSCALL,
        };
        alive(sys::resume(request, self.tid, signal))
    }

    /// Leaves it stopped, as its process is; what happens next is reported. PTRACE_CONT would un-stop what a user stopped
    /// (hard case 2).
    pub(super) fn listen(self) -> Result<(), Gone> {
        alive(sys::resume(libc::PTRACE_LISTEN, self.tid, 0))
    }

    /// Lets it run for good.
    pub(super) fn detach(self) -> Result<(), Gone> {
        alive(sys::resume(libc::PTRACE_DETACH, self.tid, 0))
    }

    /// The system call it is at.
    pub(super) fn call(&self) -> Result<Call, Gone> {
        let info = alive(sys::syscall_info(self.tid))?;
        let [nr, a, b, c, d, e, f, data] = info.words;
        let entry = Entry { arch: info.arch, nr, args: [a, b, c, d, e, f] };
        Ok(match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => Call::Entry(entry),
            libc::PTRACE_SYSCALL_INFO_SECCOMP => Call::Trapped(entry, data as u16),
            libc::PTRACE_SYSCALL_INFO_EXIT => Call::Exit(nr as i64),
            _ => Call::None,
        })
    }

    /// PTRACE_GETEVENTMSG.
    pub(super) fn event_message(&self) -> Result<u64, Gone> {
        alive(sys::event_message(self.tid))
    }

    /// Who sent the signal that is about to be delivered.
    pub(super) fn signal_info(&self) -> Result<SignalInfo, Gone> {
        alive(sys::signal_info(self.tid))
    }

    /// Changes who the signal that is about to be delivered seems to come from.
    pub(super) fn set_sender(&self, sender: SignalInfo) -> Result<(), Gone> {
        alive(sys::set_sender(self.tid, sender))
    }
}

/// Makes a running thread stop soon (PTRACE_INTERRUPT).
pub(super) fn interrupt(tid: Tid) -> Result<(), Gone> {
    alive(sys::resume(libc::PTRACE_INTERRUPT, tid.0, 0))
}
