//! What is to be run, and how it is to be watched.

use std::ffi::OsString;
use std::fmt;

/// What is to be run, and how it is to be watched.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The command's words. The first is looked up in the PATH of `env`, as by env(1).
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Run it as another user (`-u`).
    pub credentials: Option<Credentials>,
    /// Stop at every read(2): exact bytes and times, 1.3 to 3 times slower.
    pub exact_reads: bool,
    /// Tell about child processes too. They are traced either way: a filter outlives fork(2), and without a tracer its
    /// system calls fail.
    pub follow_children: bool,
    /// Stop at writes to descriptor 1 too, so that a live line can be taken away first.
    pub trap_stdout: bool,
    /// How to capture.
    pub mode: CaptureMode,
    /// Runs on the ptrace thread while the writer is held, before a write to descriptor 2 (or 1) goes on: takes the live
    /// line away. It must not block.
    pub before_output: Option<fn()>,
    /// For tests of the fallback: the engine fails after so many stops.
    pub fail_after: Option<u64>,
}

/// The user to run a command as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// How to capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureMode {
    /// By ptrace, with a seccomp filter.
    #[default]
    Ptrace,
    /// Not at all: start it and wait; what is known comes from elsewhere.
    No,
}

/// Why a command could not be traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// Nobody asked to.
    NotAsked,
    /// Yama forbids it (`/proc/sys/kernel/yama/ptrace_scope`).
    Yama {
        /// 2: only with CAP_SYS_PTRACE; 3: never.
        scope: u8,
    },
    /// Something traces gmtrace itself, and so what it starts.
    AlreadyTraced {
        /// Who.
        by: i32,
    },
    /// A seccomp filter around gmtrace (a container's) forbids ptrace(2).
    PtraceFiltered,
    /// No seccomp filter can be installed: a filter around gmtrace forbids it, or the kernel has none.
    FilterRefused {
        /// What seccomp(2) said.
        errno: i32,
    },
    /// Another reason.
    Refused {
        /// What PTRACE_SEIZE said.
        errno: i32,
    },
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |errno: i32| std::io::Error::from_raw_os_error(errno);
        match self {
            WhyNot::NotAsked => f.write_str("not asked to"),
            WhyNot::Yama { scope: 3 } => {
                f.write_str("kernel.yama.ptrace_scope is 3: no process may be traced")
            }
            WhyNot::Yama { scope } => {
                write!(f, "kernel.yama.ptrace_scope is {scope}: tracing needs CAP_SYS_PTRACE")
            }
            WhyNot::AlreadyTraced { by } => write!(f, "process {by} already traces what runs here"),
            WhyNot::PtraceFiltered => {
                f.write_str("a seccomp filter around gmtrace (a container's) forbids ptrace")
            }
            WhyNot::FilterRefused { errno } => {
                write!(f, "no seccomp filter can be installed: {}", name(*errno))
            }
            WhyNot::Refused { errno } => write!(f, "PTRACE_SEIZE failed: {}", name(*errno)),
        }
    }
}

impl WhyNot {
    /// The one thing to try next, where there is one.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            WhyNot::Yama { scope: 3 } => {
                Some("kernel.yama.ptrace_scope can only be lowered by a reboot")
            }
            WhyNot::Yama { .. } => Some("sudo sysctl kernel.yama.ptrace_scope=1"),
            WhyNot::AlreadyTraced { .. } => Some("gmtrace -p PID looks without tracing"),
            WhyNot::PtraceFiltered | WhyNot::FilterRefused { .. } => {
                Some("docker run --cap-add=SYS_PTRACE --security-opt seccomp=unconfined ...")
            }
            WhyNot::NotAsked | WhyNot::Refused { .. } => None,
        }
    }
}
