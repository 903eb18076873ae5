//! Processes that signals are sent to.

use crate::capture::ptrace::sys;
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// A process that is held by a pidfd: what is sent to it reaches no other that has got its number since. Where pidfd_open(2) is
/// refused (the filters of older container runtimes do not know it), it is its number alone.
#[derive(Debug)]
pub struct Held {
    /// Its process id.
    pub pid: Pid,
    process: Option<OwnedFd>,
}

impl Held {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// ESRCH where there is none.
    pub fn open(pid: Pid) -> io::Result<Held> {
        match sys::pidfd_open(pid.0) {
            Ok(process) => Ok(Held { pid, process: Some(process) }),
            Err(Errno::ESRCH) => Err(Errno::ESRCH.into()),
            Err(_) => Ok(Held { pid, process: None }),
        }
    }

    /// Takes hold of a child that was not waited for: it is there.
    pub(super) fn child(pid: Pid) -> Held {
        Held { pid, process: sys::pidfd_open(pid.0).ok() }
    }

    /// Sends it a signal, a real-time one too.
    ///
    /// # Errors
    /// As pidfd_send_signal(2) or kill(2): ESRCH once it has been waited for.
    pub fn kill(&self, signal: i32) -> io::Result<()> {
        let sent = match &self.process {
            Some(process) => sys::send_signal(process, signal),
            None => sys::kill(self.pid.0, signal),
        };
        sent.map_err(io::Error::from)
    }
}
