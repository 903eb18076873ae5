//! Processes that signals are sent to.

use super::Ended;
use crate::capture::ptrace::sys;
use gmtrace_core::units::Pid;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process that is held by a pidfd: what is sent to it reaches no other that has got its number since. Where pidfd_open(2) is
/// refused (the filters of older container runtimes do not know it), it is its number alone.
#[derive(Debug)]
pub struct Held {
    /// Its process id.
    pub pid: Pid,
    process: Option<OwnedFd>,
}

/// The last field but two of `/proc/PID/stat` (proc(5), exit_code), which only who may trace the process is told.
fn zombie_status(pid: Pid) -> Option<i32> {
    let process = procfs::process::Process::new(pid.0).ok()?;
    let stat = process.stat().ok().filter(|stat| stat.state == 'Z')?;
    stat.exit_code
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

    /// The pidfd, where there is one: readable when the process has ended (pidfd_open(2)).
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(OwnedFd::as_fd)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        match &self.process {
            Some(process) => {
                let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
                matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
            }
            None => sys::kill(self.pid.0, 0).is_err(),
        }
    }

    /// How it ended, before or after somebody else has waited for it; nothing where the kernel does not tell.
    pub(super) fn exit(&self) -> Option<Ended> {
        let told = || sys::exit_of(self.process.as_ref()?);
        let status = told().or_else(|| zombie_status(self.pid)).or_else(told)?;
        Some(match status & 0x7f {
            0 => Ended::Code(u8::try_from(status >> 8 & 0xff).ok()?),
            signal => Ended::Signal(signal),
        })
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
