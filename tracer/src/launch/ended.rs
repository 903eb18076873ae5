//! Ending as the command did.

use crate::capture::ptrace::sys;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// How the command ended, and so how gmtrace is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Code(u8),
    /// Killed by this signal.
    Signal(i32),
}

impl Ended {
    /// The status of a command that could not be run, as env(1) has it: 127 not found, 126 for any other reason.
    pub fn not_run(errno: i32) -> Ended {
        Ended::Code(if errno == libc::ENOENT { 127 } else { 126 })
    }

    /// Ends this process in the same way: with the same status, or by the same signal, without a core.
    pub fn mirror(self) -> ! {
        match self {
            Ended::Code(code) => sys::exit_now(code),
            Ended::Signal(signal) => die_by(signal),
        }
    }
}

fn die_by(signal: i32) -> ! {
    // core(5): a limit of 0 keeps a file from being written, and a process that is not dumpable is not piped to a program
    // either.
    _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    _ = prctl::set_dumpable(false);
    sys::default_action(signal);
    sys::set_mask(!sys::signal_bit(signal));
    sys::raise(signal);
    // Some signals do not end a process whatever their action; a shell would have said so.
    sys::exit_now(u8::try_from(signal).map_or(255, |signal| signal.saturating_add(128)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_cannot_run_ends_as_under_env() {
        assert_eq!(Ended::not_run(libc::ENOENT), Ended::Code(127));
        assert_eq!(Ended::not_run(libc::EACCES), Ended::Code(126));
        assert_eq!(Ended::not_run(libc::ENOEXEC), Ended::Code(126));
    }
}
