//! What a system call in progress waits for, as far as its name and its first argument tell.

use super::Syscall;
use crate::units::Fd;

/// What a thread that sits in a system call waits for. What says which one thing that is comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsIn {
    /// What one descriptor gives.
    Read,
    /// What one descriptor takes.
    Write,
    /// A connection.
    Connect,
    /// A lock on a file.
    Lock,
    /// The end of a child.
    Child,
    /// A time.
    Sleep,
    /// A signal.
    Signal,
    /// Any of several descriptors, which are named in memory.
    Watch,
    /// Something that the name does not tell.
    Other,
    /// Another thread.
    Thread,
}

impl Syscall {
    /// What it waits for.
    pub fn waits_in(&self) -> WaitsIn {
        match self.name.as_str() {
            "read" | "readv" | "recvfrom" | "recvmsg" | "recvmmsg" => WaitsIn::Read,
            "write" | "writev" | "sendto" | "sendmsg" | "sendmmsg" | "splice" => WaitsIn::Write,
            "connect" => WaitsIn::Connect,
            "flock" | "fcntl" => WaitsIn::Lock,
            "wait4" | "waitid" => WaitsIn::Child,
            "nanosleep" | "clock_nanosleep" => WaitsIn::Sleep,
            "pause" | "rt_sigsuspend" | "rt_sigtimedwait" => WaitsIn::Signal,
            "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait"
            | "epoll_pwait2" => WaitsIn::Watch,
            "futex" => WaitsIn::Thread,
            _ => WaitsIn::Other,
        }
    }

    /// The one descriptor that it waits for: an int, so that the upper half of the register has no meaning.
    pub fn descriptor(&self) -> Option<Fd> {
        let [first, ..] = self.args;
        let names_one = matches!(
            self.waits_in(),
            WaitsIn::Read | WaitsIn::Write | WaitsIn::Connect | WaitsIn::Lock
        );
        names_one.then_some(Fd(first as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_argument_is_a_descriptor_of_calls_that_name_one() {
        let call = |name: &str| Syscall { nr: 0, name: name.into(), args: [u64::MAX << 32 | 7; 6] };
        for name in ["read", "sendmsg", "connect", "flock"] {
            assert_eq!(call(name).descriptor(), Some(Fd(7)), "{name}");
        }
        for name in ["poll", "wait4", "futex", "openat"] {
            assert_eq!(call(name).descriptor(), None, "{name}");
        }
    }
}
