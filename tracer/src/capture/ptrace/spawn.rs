//! Starts the command: seized before its first instruction, by a tracer it waits for.
//!
//! The child waits on a pipe until it has been seized (a SIGSTOP of its own would leave a group-stop behind: hard case 1),
//! then installs the filter and execs. What went wrong comes back through a second pipe, which exec closes.

use super::plan::{CaptureMode, Credentials, Plan, WhyNot};
use super::seccomp::{self, Wanted};
use super::sys::{self, Fork, Inherited, Words};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, pipe2, read, setgid, setgroups, setuid, write};
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;

/// What every tracee is traced for. Threads and processes come with the tracer attached, stopped before their first
/// instruction. EXITKILL, because with a filter and no tracer system calls would fail with ENOSYS: the tracees go with the
/// tracer (hard case 10). Where no filter can be installed the command is let go instead.
const OPTIONS: i32 = libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_EXITKILL;

/// A command that was started and may not have reached its own program yet.
pub struct Spawned {
    /// Its process id.
    pub pid: i32,
    /// Whether it is traced.
    pub traced: Result<(), WhyNot>,
    reports: OwnedFd,
}

/// What the child said on its way to exec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// seccomp(2)'s error; 0 when the filter is there or was not to be.
    pub filter: i32,
    /// It had to give up the right to gain privileges.
    pub no_new_privs: bool,
    /// execve(2)'s error; 0 when it succeeded.
    pub exec: i32,
    /// The error of becoming another user.
    pub user: i32,
}

/// What a report record is about.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Topic {
    Filter = b'F',
    NoNewPrivs = b'N',
    Exec = b'X',
    User = b'U',
}

/// Starts the command of a plan; `before` is done with its process id before it becomes its own program. The calling process must
/// have one thread.
///
/// # Errors
/// EINVAL for a word with a NUL byte, EDEADLK with more than one thread, and those of pipe2(2), fork(2).
pub fn spawn(plan: &Plan, before: impl FnOnce(i32)) -> Result<Spawned, Errno> {
    let recipe = Recipe::new(plan)?;
    let (wait, go) = pipe2(OFlag::O_CLOEXEC)?;
    let (reports, report) = pipe2(OFlag::O_CLOEXEC)?;
    match sys::fork()? {
        Fork::Child => {
            drop((go, reports));
            recipe.follow(&wait, &report)
        }
        Fork::Parent(pid) => {
            drop((wait, report));
            let traced = seize(plan.mode, pid);
            before(pid);
            let order = if traced.is_ok() { Order::Filter } else { Order::Plain };
            _ = write(&go, &[order as u8]);
            Ok(Spawned { pid, traced, reports })
        }
    }
}

fn seize(mode: CaptureMode, pid: i32) -> Result<(), WhyNot> {
    if mode == CaptureMode::No {
        return Err(WhyNot::NotAsked);
    }
    sys::seize(pid, OPTIONS).map_err(|errno| why_not(errno, &Facts::of(pid)))
}

impl Spawned {
    /// Everything the child has said. Blocks until exec has succeeded or failed, so it is for after that.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        let mut record = [0u8; 5];
        while matches!(read(&self.reports, &mut record), Ok(5)) {
            let [topic, errno @ ..] = record;
            report.note(topic, i32::from_ne_bytes(errno));
        }
        report
    }
}

impl Report {
    fn note(&mut self, topic: u8, errno: i32) {
        match topic {
            b'F' => self.filter = errno,
            b'N' => self.no_new_privs = true,
            b'X' => self.exec = errno,
            b'U' => self.user = errno,
            _ => {}
        }
    }
}

/// What the child is told when it may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    Filter = b'f',
    Plain = b'p',
}

/// Everything the child needs, made before the fork.
struct Recipe {
    argv: Words,
    env: Words,
    filter: Option<seccompiler::BpfProgram>,
    credentials: Option<Credentials>,
    inherited: Inherited,
}

impl Recipe {
    fn new(plan: &Plan) -> Result<Recipe, Errno> {
        let variable = |(name, value): &(OsString, OsString)| {
            let mut word = name.clone();
            word.push("=");
            word.push(value);
            word
        };
        let wanted = Wanted { exact_reads: plan.exact_reads, stdout: plan.trap_stdout };
        Ok(Recipe {
            argv: Words::new(plan.argv.iter().cloned())?,
            env: Words::new(plan.env.iter().map(variable))?,
            filter: seccomp::program(wanted).ok(),
            credentials: plan.credentials.clone(),
            inherited: sys::inherited(),
        })
    }

    /// The child's part.
    fn follow(self, wait: &OwnedFd, report: &OwnedFd) -> ! {
        let mut order = [0u8];
        if read(wait, &mut order) != Ok(1) {
            sys::exit_now(125); // The tracer died: nobody is there to ask.
        }
        if order == [Order::Filter as u8] {
            self.filter(report);
        }
        if let Err(errno) = self.credentials.as_ref().map_or(Ok(()), become_user) {
            tell(report, Topic::User, errno as i32);
            sys::exit_now(125);
        }
        for fd in (0..3).filter(|fd| self.inherited.closed & 1 << fd != 0) {
            sys::close(fd);
        }
        sys::restore_signals(self.inherited);
        let errno = sys::exec(&self.argv, &self.env);
        tell(report, Topic::Exec, errno as i32);
        sys::exit_now(127)
    }

    /// Installs the filter. Without CAP_SYS_ADMIN seccomp(2) answers EACCES unless no_new_privs is set; it is set only then,
    /// because setuid programs below lose their privileges by it.
    fn filter(&self, report: &OwnedFd) {
        let Some(program) = &self.filter else {
            return tell(report, Topic::Filter, Errno::ENOSYS as i32);
        };
        let mut result = sys::install_filter(program);
        if result == Err(Errno::EACCES) {
            tell(report, Topic::NoNewPrivs, 0);
            result =
                nix::sys::prctl::set_no_new_privs().and_then(|()| sys::install_filter(program));
        }
        if let Err(errno) = result {
            tell(report, Topic::Filter, errno as i32);
        }
    }
}

fn become_user(user: &Credentials) -> Result<(), Errno> {
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(user.gid))?;
    setuid(Uid::from_raw(user.uid))
}

fn tell(report: &OwnedFd, topic: Topic, errno: i32) {
    let [a, b, c, d] = errno.to_ne_bytes();
    _ = write(report, &[topic as u8, a, b, c, d]);
}

/// What is known about why a process cannot be traced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Facts {
    /// Who traces it already; 0 is nobody.
    tracer: i32,
    /// Yama's scope; 0 where there is no Yama.
    yama: u8,
    /// Whether a seccomp filter is around gmtrace.
    filtered: bool,
}

impl Facts {
    fn of(pid: i32) -> Facts {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let number = |name| status_field(&status, name).and_then(|value| value.parse().ok());
        let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
        Facts {
            tracer: number("TracerPid").unwrap_or(0),
            yama: yama.trim().parse().unwrap_or(0),
            filtered: number("Seccomp") == Some(2),
        }
    }
}

/// The value of a line of `/proc/PID/status`.
pub(super) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim())
}

/// Which of the known reasons holds (ptrace(2), EPERM; Documentation/admin-guide/LSM/Yama.rst).
fn why_not(errno: Errno, facts: &Facts) -> WhyNot {
    match *facts {
        Facts { tracer, .. } if tracer != 0 => WhyNot::AlreadyTraced { by: tracer },
        Facts { yama: scope @ 2.., .. } => WhyNot::Yama { scope },
        Facts { filtered: true, .. } => WhyNot::PtraceFiltered,
        _ => WhyNot::Refused { errno: errno as i32 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_reason() {
        let facts = Facts::default();
        assert_eq!(why_not(Errno::EPERM, &facts), WhyNot::Refused { errno: libc::EPERM });
        assert_eq!(
            why_not(Errno::EPERM, &Facts { tracer: 7, ..facts }),
            WhyNot::AlreadyTraced { by: 7 }
        );
        assert_eq!(why_not(Errno::EPERM, &Facts { yama: 2, ..facts }), WhyNot::Yama { scope: 2 });
        assert_eq!(
            why_not(Errno::EPERM, &Facts { yama: 1, filtered: true, ..facts }),
            WhyNot::PtraceFiltered
        );
    }

    #[test]
    fn a_status_line_is_found_by_its_whole_name() {
        let status = "Name:\tgo\nTracerPid:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(status_field(status, "Seccomp"), Some("2"));
        assert_eq!(status_field(status, "Tracer"), None);
    }
}
