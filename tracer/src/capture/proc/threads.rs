//! The threads of a process and the system call that each of them sits in.

use super::file;
use super::stat::Stat;
use gmtrace_core::event::{LockKind, LockMode, Syscall, ThreadState};
use gmtrace_core::units::{Fd, Pid, Tid};
use std::io;
use syscalls::Sysno;

/// At most this many threads of a process are looked at.
const MAX_THREADS: usize = 512;

/// The threads of a process.
///
/// # Errors
/// Those of reading `/proc/PID/task`: the process is gone.
pub(super) fn threads(pid: Pid) -> io::Result<Vec<ThreadState>> {
    let tids = file::numbers(format!("/proc/{pid}/task"), MAX_THREADS)?;
    Ok(tids.into_iter().filter_map(|tid| thread(pid, Tid(tid))).collect())
}

fn thread(pid: Pid, tid: Tid) -> Option<ThreadState> {
    let directory = format!("/proc/{pid}/task/{tid}");
    let state = Stat::read(&directory).ok()?.state;
    let syscall = syscall(pid, tid).ok().flatten();
    let wchan = file::text(format!("{directory}/wchan"), 256).ok().filter(|name| is_function(name));
    let cpu_ns = if state == 'R' { cpu_time(&directory) } else { None };
    Some(ThreadState { tid, state, syscall, cpu_ns, wchan })
}

/// The first number of `schedstat`: time on a CPU in nanoseconds (Documentation/scheduler/sched-stats.rst).
fn cpu_time(directory: &str) -> Option<u64> {
    let text = file::text(format!("{directory}/schedstat"), 256).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// `0` stands for none, or for not allowed.
fn is_function(wchan: &str) -> bool {
    !wchan.is_empty() && wchan != "0" && wchan.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The system call that a thread sits in; none while it runs, or sleeps outside of any (a page fault).
///
/// # Errors
/// Those of reading `/proc/PID/task/TID/syscall`, which asks for the permission to ptrace(2).
pub(super) fn syscall(pid: Pid, tid: Tid) -> io::Result<Option<Syscall>> {
    let text = file::text(format!("/proc/{pid}/task/{tid}/syscall"), 512)?;
    Ok(parse_syscall(&text))
}

/// proc_pid_syscall(5): `running`, or `-1 SP PC`, or `NR ARG*6 SP PC`.
fn parse_syscall(text: &str) -> Option<Syscall> {
    let mut words = text.split_ascii_whitespace();
    let nr: u64 = words.next()?.parse().ok()?;
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    let known = usize::try_from(nr).ok().and_then(Sysno::new);
    let name = known.map_or_else(|| format!("syscall {nr}"), |known| known.name().to_owned());
    Some(Syscall { nr, name, args })
}

/// A lock that a system call asks for and may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) fd: Fd,
    pub(super) kind: LockKind,
    /// None for fcntl(2), which has it in memory.
    pub(super) mode: Option<LockMode>,
}

/// The lock that `syscall` waits for: flock(2) without LOCK_NB or LOCK_UN, fcntl(2) F_SETLKW or F_OFD_SETLKW.
pub(super) fn asked_lock(syscall: &Syscall) -> Option<Asked> {
    let [fd, command, ..] = syscall.args;
    // Descriptors and commands are ints; the upper half of the register is of no meaning.
    let (fd, command) = (Fd(low_int(fd)), low_int(command));
    match syscall.name.as_str() {
        "flock" => {
            let mode = match command {
                libc::LOCK_SH => LockMode::Shared,
                libc::LOCK_EX => LockMode::Exclusive,
                _ => return None,
            };
            Some(Asked { fd, kind: LockKind::Flock, mode: Some(mode) })
        }
        "fcntl" | "fcntl64" => {
            let kind = match command {
                libc::F_SETLKW => LockKind::Posix,
                libc::F_OFD_SETLKW => LockKind::Ofd,
                _ => return None,
            };
            Some(Asked { fd, kind, mode: None })
        }
        _ => None,
    }
}

/// Whether a thread is still inside a system call that waits for a lock; none when it is gone, which says nothing about the
/// lock, or may not be read.
pub fn still_in_lock(pid: Pid, tid: Tid) -> Option<bool> {
    match syscall(pid, tid) {
        Ok(syscall) => Some(syscall.is_some_and(|syscall| asked_lock(&syscall).is_some())),
        Err(_gone_or_refused) => None,
    }
}

/// An int that was passed in a register, whose upper half has no meaning.
pub(super) fn low_int(register: u64) -> i32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nr: Sysno, args: [u64; 6]) -> String {
        let args: Vec<String> = args.iter().map(|arg| format!("{arg:#x}")).collect();
        format!("{} {} 0x7ffd 0x401000\n", nr.id(), args.join(" "))
    }

    #[test]
    fn flock_and_the_blocking_fcntl_commands() {
        let asked = |nr, command| {
            let junk = 0xdead_beef_0000_0000;
            let text = line(nr, [junk | 7, junk | command, 0, 0, 0, 0]);
            asked_lock(&parse_syscall(&text).unwrap())
        };
        let exclusive = Asked { fd: Fd(7), kind: LockKind::Flock, mode: Some(LockMode::Exclusive) };
        assert_eq!(asked(Sysno::flock, 2), Some(exclusive));
        assert_eq!(asked(Sysno::flock, 2 | 4), None);
        assert_eq!(asked(Sysno::flock, 8), None);
        assert_eq!(asked(Sysno::fcntl, 7).unwrap().kind, LockKind::Posix);
        assert_eq!(asked(Sysno::fcntl, 38).unwrap().kind, LockKind::Ofd);
        assert_eq!(asked(Sysno::fcntl, 6), None);
        assert_eq!(asked(Sysno::read, 2), None);
    }

    #[test]
    fn garbage_is_none() {
        for text in ["", "running\n", "-1 0x7ffd 0x4010\n", "1 2 3", "1 0x1 0x2", "x", "73 0xg 0 0"]
        {
            assert_eq!(parse_syscall(text), None, "{text:?}");
        }
        let unknown = parse_syscall("99999 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0").unwrap();
        assert_eq!(unknown.name, "syscall 99999");
    }

    #[test]
    fn a_thread_that_is_gone_says_nothing_about_its_lock() {
        assert_eq!(still_in_lock(Pid(i32::MAX), Tid(i32::MAX)), None);
    }
}
