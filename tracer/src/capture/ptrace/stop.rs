//! What a wait status says.

use libc::c_int;

/// Everything wait(2) can say about a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ended by exit(2).
    Exited(u8),
    /// It was killed by this signal.
    Killed(c_int),
    /// At the entry or exit of a system call; which of the two only PTRACE_GET_SYSCALL_INFO knows (hard case 14).
    Syscall,
    /// The seccomp filter trapped a system call.
    Seccomp,
    /// It made a new process or thread.
    Birth,
    /// execve(2) succeeded.
    Exec,
    /// It is about to end.
    Exiting,
    /// Its process is stopped by this signal (group-stop).
    Group(c_int),
    /// Its first stop, the effect of PTRACE_INTERRUPT, or the end of a group-stop.
    Trap,
    /// This signal is about to be delivered.
    Signal(c_int),
    /// SIGCONT woke it (only for a process that is not traced).
    Continued,
    /// Anything else: it is let go on.
    Other,
}

/// The bit that PTRACE_O_TRACESYSGOOD sets in the signal of a system call's stop.
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;
/// include/uapi/linux/ptrace.h; libc has it for some targets only.
const EVENT_STOP: c_int = 128;

/// Reads a wait status. Plain numbers, because a real-time signal has no name (hard case 4).
pub(crate) fn classify(status: c_int) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Exited(libc::WEXITSTATUS(status) as u8);
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Killed(libc::WTERMSIG(status));
    }
    if libc::WIFCONTINUED(status) {
        return Stop::Continued;
    }
    let signal = libc::WSTOPSIG(status);
    match (status >> 16, signal) {
        (0, SYSCALL_STOP) => Stop::Syscall,
        (0, signal) => Stop::Signal(signal),
        (libc::PTRACE_EVENT_SECCOMP, _) => Stop::Seccomp,
        (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE, _) => {
            Stop::Birth
        }
        (libc::PTRACE_EVENT_EXEC, _) => Stop::Exec,
        (libc::PTRACE_EVENT_EXIT, _) => Stop::Exiting,
        (EVENT_STOP, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
            Stop::Group(signal)
        }
        (EVENT_STOP, _) => Stop::Trap,
        _ => Stop::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel composes it: `event << 16 | signal << 8 | 0x7f` (ptrace(2), "Stopped states").
    fn stopped(event: c_int, signal: c_int) -> Stop {
        classify(event << 16 | signal << 8 | 0x7f)
    }

    #[test]
    fn an_end_is_exit_or_signal() {
        assert_eq!(classify(0), Stop::Exited(0));
        assert_eq!(classify(0x2a00), Stop::Exited(42));
        assert_eq!(classify(0xff00), Stop::Exited(255));
        assert_eq!(classify(libc::SIGKILL), Stop::Killed(libc::SIGKILL));
        assert_eq!(classify(libc::SIGSEGV | 0x80), Stop::Killed(libc::SIGSEGV), "with a core");
        assert_eq!(classify(64), Stop::Killed(64), "the last real-time signal");
    }

    #[test]
    fn every_signal_has_its_delivery_stop() {
        for signal in 1..=64 {
            assert_eq!(stopped(0, signal), Stop::Signal(signal));
        }
    }

    #[test]
    fn a_real_sigstop_is_a_signal_first_and_a_group_stop_then() {
        assert_eq!(classify(0x137f), Stop::Signal(libc::SIGSTOP));
        assert_eq!(classify(0x0080_137f), Stop::Group(libc::SIGSTOP));
    }

    #[test]
    fn group_stops_name_their_signal_and_other_event_stops_do_not() {
        for signal in [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            assert_eq!(stopped(128, signal), Stop::Group(signal));
        }
        assert_eq!(stopped(128, libc::SIGTRAP), Stop::Trap);
    }

    #[test]
    fn a_system_call_is_no_sigtrap() {
        assert_eq!(stopped(0, libc::SIGTRAP | 0x80), Stop::Syscall);
        assert_eq!(
            stopped(0, libc::SIGTRAP),
            Stop::Signal(libc::SIGTRAP),
            "int3 of a debugger's child"
        );
    }

    #[test]
    fn events_are_told_apart() {
        let sigtrap = libc::SIGTRAP;
        assert_eq!(stopped(1, sigtrap), Stop::Birth, "fork");
        assert_eq!(stopped(2, sigtrap), Stop::Birth, "vfork");
        assert_eq!(stopped(3, sigtrap), Stop::Birth, "clone");
        assert_eq!(stopped(4, sigtrap), Stop::Exec);
        assert_eq!(stopped(5, sigtrap), Stop::Other, "vfork done");
        assert_eq!(stopped(6, sigtrap), Stop::Exiting);
        assert_eq!(stopped(7, sigtrap), Stop::Seccomp);
        assert_eq!(stopped(99, sigtrap), Stop::Other, "an event of a newer kernel");
    }

    #[test]
    fn a_process_that_is_not_traced_continues() {
        assert_eq!(classify(0xffff), Stop::Continued);
    }
}
